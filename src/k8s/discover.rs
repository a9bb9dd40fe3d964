use super::error::K8sError;
use super::request::{Request, send};
use crate::model::{Json, Kind};

/// Finds a kind by its plural name, or any other name that `kubectl` takes, and its group: `widgets.example.com`, or
/// `configmaps` of the core group.
///
/// # Errors
/// [`K8sError::UnknownKind`] where the server has no such kind, or one that cannot be watched.
pub async fn discover(client: &kube::Client, name: &str) -> Result<Kind, K8sError> {
    let (resource, group) = name.split_once('.').unwrap_or((name, ""));
    let unknown = |hint: &str| K8sError::UnknownKind { name: name.to_owned(), hint: hint.to_owned() };
    let version = if group.is_empty() {
        "v1".to_owned()
    } else {
        let found = send(client, &Request::get(format!("/apis/{group}"))).await;
        let found = found.map_err(|e| if e.status() == Some(404) { unknown("") } else { e })?;
        found.body["preferredVersion"]["version"].as_str().ok_or_else(|| unknown(""))?.to_owned()
    };
    let path = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
    let resources = send(client, &Request::get(path)).await?.body;
    kind_of(&resources, resource, group, &version).map_err(unknown)
}

/// The resource of that name in an `APIResourceList`.
fn kind_of(resources: &Json, name: &str, group: &str, version: &str) -> Result<Kind, &'static str> {
    let named = |entry: &&Json| {
        let same = |text: &Json| text.as_str().is_some_and(|text| text.eq_ignore_ascii_case(name));
        let short = entry["shortNames"].items().iter().any(same);
        // Subresources have a slash in their name and the kind of their parent.
        let whole = entry["name"].as_str().is_some_and(|name| !name.contains('/'));
        whole && (short || ["name", "singularName", "kind"].iter().any(|field| same(&entry[*field])))
    };
    let entry = resources["resources"].items().iter().find(named).ok_or("")?;
    let can = |verb: &str| entry["verbs"].items().iter().any(|own| own == verb);
    if !can("list") || !can("watch") {
        return Err(", or none that can be listed and watched");
    }
    let text = |field: &str| entry[field].as_str().unwrap_or_default().to_owned();
    Ok(Kind {
        group: group.to_owned().into(),
        version: version.to_owned().into(),
        kind: text("kind").into(),
        plural: text("name").into(),
        namespaced: entry["namespaced"] == true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_resource_is_found_by_each_of_its_names() {
        let list: Json = json!({"resources": [
            {"name": "widgets/status", "kind": "Widget", "namespaced": true, "verbs": ["get"]},
            {"name": "widgets", "singularName": "widget", "shortNames": ["wd"], "kind": "Widget",
             "namespaced": true, "verbs": ["list", "watch"]},
            {"name": "reviews", "kind": "Review", "namespaced": false, "verbs": ["create"]}]})
        .into();
        let find = |name: &str| kind_of(&list, name, "example.com", "v1");
        for name in ["widgets", "widget", "Widget", "wd"] {
            let kind = find(name).unwrap();
            assert_eq!(kind.path_in(Some("a")), "/apis/example.com/v1/namespaces/a/widgets");
        }
        assert!(find("gadgets").is_err());
        assert!(find("reviews").unwrap_err().contains("watched"));
    }
}
