use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};

use crate::hollow::{NodeGroup, NodeGroups};
use crate::model::parse_quantity_milli;

/// What is in a file, or why it cannot be read.
type Text = Result<String, String>;

/// Where node groups come from.
pub(super) enum Source {
    /// The command line.
    Fixed(NodeGroup),
    /// A file, and what was in it when it was last looked at.
    File { path: PathBuf, last: Text },
}

impl Source {
    /// A file that was not looked at yet.
    pub(super) fn file(path: PathBuf) -> Source {
        Source::File { path, last: Ok(String::new()) }
    }

    /// The groups.
    ///
    /// # Errors
    /// Where the file cannot be read, or has no node groups in it.
    pub(super) fn read(&mut self) -> anyhow::Result<Vec<NodeGroup>> {
        match self {
            Source::Fixed(group) => Ok(vec![group.clone()]),
            Source::File { path, last } => {
                *last = text(path);
                parse(path, last)
            }
        }
    }

    /// The groups, if the file is not what it was when it was last looked at.
    pub(super) fn changed(&mut self) -> Option<anyhow::Result<Vec<NodeGroup>>> {
        match self {
            Source::File { path, last } if *last != text(path) => Some(self.read()),
            Source::Fixed(_) | Source::File { .. } => None,
        }
    }
}

fn text(path: &Path) -> Text {
    std::fs::read_to_string(path).map_err(|error| error.to_string())
}

fn parse(path: &Path, text: &Text) -> anyhow::Result<Vec<NodeGroup>> {
    let path = path.display();
    let text = text.as_ref().map_err(|what| anyhow!("cannot read {path}: {what}"))?;
    let groups: NodeGroups =
        serde_saphyr::from_str(text).with_context(|| format!("{path} is no list of node groups"))?;
    for group in &groups.groups {
        for (name, quantity) in group.capacity.iter().chain(&group.allocatable) {
            parse_quantity_milli(quantity).with_context(|| {
                format!("{path}: group {}: {name}: {quantity:?} is no quantity", group.name_prefix)
            })?;
        }
    }
    Ok(groups.groups)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_file_is_read_when_it_changes_and_complained_of_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("groups.yaml");
        let mut source = Source::file(path.clone());
        assert!(source.read().unwrap_err().to_string().starts_with("cannot read"));
        fs::write(&path, "groups: [{namePrefix: a-, nodes: 2, capacity: {cpu: \"4\"}}]").unwrap();
        assert_eq!(source.changed().unwrap().unwrap()[0].nodes, 2);
        assert!(source.changed().is_none());
        for bad in ["groups: [{nodes: many}]", "groups: [{capacity: {cpu: lots}}]"] {
            fs::write(&path, bad).unwrap();
            assert!(source.changed().unwrap().is_err(), "{bad}");
            assert!(source.changed().is_none());
        }
    }
}
