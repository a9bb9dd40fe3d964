use std::collections::BTreeMap;

use serde::Serialize;

/// How many places of each reason are told.
const SHOWN: usize = 5;

/// What was read, and what became of it. A row is what the format has: a line, a document, an event.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Tally {
    /// Rows read.
    pub read: u64,
    /// Rows that are in the reel.
    pub used: u64,
    /// Rows that are not, by reason.
    pub dropped: BTreeMap<String, Dropped>,
    /// Where the input broke off, and why; what came before is used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cut: Option<String>,
}

/// Rows that were dropped for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Dropped {
    /// How many.
    pub count: u64,
    /// Whether that is as it should be (a lease in an audit log), not something wrong with the input.
    pub expected: bool,
    /// The first of them, as `input:line`.
    pub first: Vec<String>,
}

/// Names a place in an input.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Name of the input.
    pub input: &'a str,
    /// Line, from 1.
    pub line: u64,
}

impl Tally {
    /// A row is dropped because something is wrong with it.
    pub fn bad(&mut self, at: Place<'_>, reason: &str) {
        self.drop(at, reason, false);
    }

    /// A row is dropped because a reel has no use for it.
    pub fn skip(&mut self, at: Place<'_>, reason: &str) {
        self.drop(at, reason, true);
    }

    fn drop(&mut self, at: Place<'_>, reason: &str, expected: bool) {
        // Nearly always known: no text is copied.
        let dropped = match self.dropped.get_mut(reason) {
            Some(dropped) => dropped,
            None => self.dropped.entry(reason.to_owned()).or_default(),
        };
        dropped.count += 1;
        dropped.expected = expected;
        if dropped.first.len() < SHOWN {
            dropped.first.push(format!("{}:{}", at.input, at.line));
        }
    }

    /// Whether the input was not all as it should be.
    pub fn is_loss(&self) -> bool {
        self.cut.is_some() || self.dropped.values().any(|dropped| !dropped.expected)
    }

    /// The reasons in one line.
    pub fn reasons(&self) -> String {
        let reasons: Vec<_> = self
            .dropped
            .iter()
            .map(|(reason, dropped)| format!("{} x {reason} ({})", dropped.count, dropped.first.join(", ")))
            .chain(self.cut.clone())
            .collect();
        if reasons.is_empty() { "none dropped".to_owned() } else { reasons.join("; ") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_places_of_each_reason_are_told() {
        let mut tally = Tally::default();
        for line in 1..=9 {
            tally.bad(Place { input: "pods.csv", line }, "no name");
        }
        tally.skip(Place { input: "pods.csv", line: 10 }, "a lease");
        assert_eq!(tally.dropped["no name"].count, 9);
        assert_eq!(tally.dropped["no name"].first.len(), SHOWN);
        assert!(tally.is_loss());
        assert!(tally.reasons().contains("1 x a lease (pods.csv:10)"), "{}", tally.reasons());
        tally.dropped.remove("no name");
        assert!(!tally.is_loss());
    }
}
