//! What a file with a mistake still says: the alarm that it names is to hear of the mistake.

use std::path::Path;

use toml::de::DeTable;

use super::{PublicationFile, is_publication_name, keys_in};

/// The keys that count in spite of a mistake elsewhere: the alarm, and where its record and `/status.json` are.
const KEPT: &[&str] = &["publisher", "targets.out", "alarm.command", "alarm.webhook"];

impl PublicationFile {
    /// Reads what can be read of these keys in `file`, which describes the publication `name`; everything else has its
    /// default. For the alarm alone: nothing may be published by it
    /// (`a_mistake_in_the_file_reaches_the_alarm_that_the_file_names`).
    pub(crate) fn in_spite_of_mistakes(file: &Path, name: &str) -> Self {
        let mut publication = Self::blank(file, name);
        let text = std::fs::read(file).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        if !publication.take(&text) {
            for section in sections(&text) {
                if !publication.take(&section.concat()) {
                    // One line of it is wrong; a value of several lines is lost with it.
                    let head = if section[0].starts_with('[') { section[0] } else { "" };
                    for line in section {
                        publication.take(&format!("{head}{line}"));
                    }
                }
            }
        }
        if !is_publication_name(&publication.publisher) {
            name.clone_into(&mut publication.publisher);
        }
        publication
    }

    /// Takes the kept keys of `text`; false when it is not TOML.
    fn take(&mut self, text: &str) -> bool {
        let Ok(table) = DeTable::parse(text) else { return false };
        for (_, key, value) in keys_in(&table).iter().filter(|(_, key, _)| KEPT.contains(&&**key)) {
            // A mistake in it is that of the file, or a later one.
            let _ = self.set(key, value, &mut Default::default());
        }
        true
    }
}

/// Parts a text before each line that begins a table. Each part has a line at least; lines keep their end.
fn sections(text: &str) -> Vec<Vec<&str>> {
    let mut sections: Vec<Vec<&str>> = Vec::new();
    for line in text.split_inclusive('\n') {
        match sections.last_mut().filter(|_| !line.starts_with('[')) {
            Some(section) => section.push(line),
            None => sections.push(vec![line]),
        }
    }
    sections
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (String, Option<String>) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("arch.toml");
        std::fs::write(&file, text).unwrap();
        let read = PublicationFile::in_spite_of_mistakes(&file, "arch");
        (read.publisher, read.alarm)
    }

    #[test]
    fn what_is_right_counts_wherever_the_mistake_is() {
        let alarm = "[alarm]\ncommand = \"mail root\"\n";
        let heard = |publisher: &str| (publisher.to_owned(), Some("mail root".to_owned()));
        assert_eq!(read(&format!("publisher = \"p\"\nlifetme = \"1 h\"\n{alarm}")), heard("p"), "an unknown key");
        assert_eq!(read(&format!("publisher = \"p\"\nbroken\n{alarm}")), heard("p"), "a line that is no TOML");
        assert_eq!(read(&format!("{alarm}wehook\n[sources]\nrepos = [")), heard("arch"), "beside it and behind it");
        assert_eq!(read(&format!("publisher = \"a b\"\n{alarm}")), heard("arch"), "a name that is none");
        assert_eq!(read("[alarm]\ncommand = 7\n"), ("arch".to_owned(), None));
        assert_eq!(read(""), ("arch".to_owned(), None));
    }
}
