use std::collections::HashSet;

use crate::model::Text;

/// Longest name of a pod (`pkg/apis/core/validation/validation.go`, v1.37.2, `ValidatePodName`: a DNS subdomain).
const NAME: usize = 253;

/// Longest label value.
const LABEL: usize = 63;

/// A name that the API takes, as near to the text as can be: lower-case letters, digits, `-` and `.`; empty where nothing
/// of it is left.
pub fn object_name(text: &str) -> Text {
    let letter = |c: char| match c.to_ascii_lowercase() {
        c @ ('a'..='z' | '0'..='9' | '.') => c,
        _ => '-',
    };
    let name: String = text.chars().take(NAME).map(letter).collect();
    // Every part of a subdomain begins and ends with a letter or digit.
    let parts = name.split('.').map(|part| part.trim_matches('-')).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join(".").into()
}

/// A label value that the API takes, as near to the text as can be.
pub fn label_value(text: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' };
    let value: String = text.chars().take(LABEL).map(letter).collect();
    value.trim_matches(['-', '_', '.']).to_owned()
}

/// The names that were given.
#[derive(Debug, Default)]
pub struct Names(HashSet<Text>);

impl Names {
    /// Gives a name.
    ///
    /// # Errors
    /// Why it cannot be given, for the tally.
    pub fn give(&mut self, text: &str) -> Result<Text, &'static str> {
        let name = object_name(text);
        if name.is_empty() {
            return Err("no name");
        }
        if self.0.insert(name.clone()) { Ok(name) } else { Err("a name that an earlier row has") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_the_api_takes() {
        assert_eq!(object_name("instance_7185"), "instance-7185");
        assert_eq!(object_name("-A b.C-"), "a-b.c");
        assert_eq!(object_name("_._"), "");
        assert_eq!(object_name(&"x".repeat(300)).len(), NAME);
        assert_eq!(label_value("V100M16|x "), "V100M16-x");
        let mut names = Names::default();
        assert_eq!(names.give("a_b").as_deref(), Ok("a-b"));
        assert_eq!(names.give("a-b"), Err("a name that an earlier row has"));
        assert_eq!(names.give("__"), Err("no name"));
    }
}
