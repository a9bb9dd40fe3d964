use url::form_urlencoded::Serializer;

use crate::model::Kind;

/// Which objects of a kind are wanted: the server leaves out the others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// Only those of this namespace.
    pub namespace: Option<String>,
    /// Label selector, empty for all.
    pub labels: String,
    /// Field selector, empty for all.
    pub fields: String,
}

impl Scope {
    /// The URL path of the collection and its query, ready for one more `name=value`.
    pub(super) fn collection(&self, kind: &Kind) -> String {
        let mut query = Serializer::new(String::new());
        for (name, value) in [("labelSelector", &self.labels), ("fieldSelector", &self.fields)] {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        let query = query.finish();
        let separator = if query.is_empty() { "" } else { "&" };
        format!("{}?{query}{separator}", kind.path_in(self.namespace.as_deref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::POD;

    #[test]
    fn selectors_become_a_query() {
        assert_eq!(Scope::default().collection(&POD), "/api/v1/pods?");
        let scope = Scope {
            namespace: Some("shop".to_owned()),
            labels: "app in (a,b),!x".to_owned(),
            fields: "metadata.namespace!=kube-system".to_owned(),
        };
        assert_eq!(
            scope.collection(&POD),
            "/api/v1/namespaces/shop/pods?labelSelector=app+in+%28a%2Cb%29%2C%21x\
             &fieldSelector=metadata.namespace%21%3Dkube-system&"
        );
    }
}
