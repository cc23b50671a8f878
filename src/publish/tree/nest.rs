//! The directories of a tree by their paths, until they are built from the lowest up.

use std::collections::BTreeMap;

use super::super::PublishError;
use super::{directory, entry};
use crate::dag::Block;
use crate::dag::dir::{BuiltDirectory, DirectoryEntry as DirEntry};

/// A directory, and what is below it.
#[derive(Default)]
pub(super) struct Nest(BTreeMap<String, Nested>);

enum Nested {
    Built(BuiltDirectory),
    Below(Nest),
}

impl Nest {
    /// Puts a directory to its path.
    ///
    /// # Errors
    /// `Twice` where another one is there, above or below.
    pub(super) fn put(&mut self, path: &str, built: BuiltDirectory) -> Result<(), PublishError> {
        self.put_below(path, path, built)
    }

    fn put_below(&mut self, whole: &str, path: &str, built: BuiltDirectory) -> Result<(), PublishError> {
        let twice = || PublishError::Twice(whole.to_owned());
        let Some((first, rest)) = path.split_once('/') else {
            return match self.0.insert(path.to_owned(), Nested::Built(built)) {
                None => Ok(()),
                Some(_) => Err(twice()),
            };
        };
        match self.0.entry(first.to_owned()).or_insert_with(|| Nested::Below(Self::default())) {
            Nested::Below(below) => below.put_below(whole, rest, built),
            Nested::Built(_) => Err(twice()),
        }
    }

    /// Builds the directories above those, and returns the entries of the highest.
    ///
    /// # Errors
    /// `Tree` for names that no directory can hold.
    pub(super) fn build(self, blocks: &mut Vec<Block>) -> Result<Vec<DirEntry>, PublishError> {
        let mut entries = Vec::new();
        for (name, nested) in self.0 {
            let built = match nested {
                Nested::Built(built) => built,
                Nested::Below(below) => {
                    let entries = below.build(blocks)?;
                    directory(blocks, entries)?
                }
            };
            entries.push(entry(&name, built));
        }
        Ok(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_built_once_and_none_is_inside_of_another() {
        let mut blocks = Vec::new();
        let empty = |blocks: &mut Vec<Block>| directory(blocks, Vec::new()).unwrap();
        let mut nest = Nest::default();
        for path in ["core/os/x86_64", "core/os/aarch64", "core/master/x86_64/current", "images"] {
            nest.put(path, empty(&mut blocks)).unwrap();
        }
        for path in ["core/os", "core/os/x86_64", "images/a"] {
            let again = nest.put(path, empty(&mut blocks));
            assert!(matches!(again, Err(PublishError::Twice(said)) if said == path), "{path}");
        }
        let names: Vec<String> = nest.build(&mut blocks).unwrap().into_iter().map(|entry| entry.name).collect();
        assert_eq!(names, ["core", "images"]);
    }
}
