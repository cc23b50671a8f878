//! `repo.info`, the description of a Haiku repository: lines of a key and a value, in the form of driver settings.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

/// Most bytes of such a file. Haiku's have 300.
pub const REPO_INFO_MOST: usize = 64 << 10;

/// What a repository says of itself. Nothing in it is proven: pkgman reads it once, when the repository is added.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RepoInfo {
    /// Its name, under which pkgman keeps it.
    pub name: String,
    /// Its name for all mirrors, a URI. pkgman knows it again by that, whatever its address.
    pub identifier: String,
    /// The architecture of its packages.
    pub arch: String,
}

/// The reason why a file is no description of a repository. Fetching it again may help.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RepoInfoError {
    /// More bytes than such a file has.
    #[error("it has more than {REPO_INFO_MOST} bytes")]
    TooLarge,
    /// Bytes that are no text.
    #[error("it is not text")]
    NotText,
    /// Not as the format wants it.
    #[error("line {line}: {problem}")]
    Line {
        /// The number of the line, from 1.
        line: usize,
        /// Description of the problem.
        problem: &'static str,
    },
    /// A key that each description has.
    #[error("it has no {0}")]
    Without(&'static str),
}

impl RepoInfo {
    /// Reads a description. Keys that are not known are left out, as Haiku does; of a key that is there twice, the last
    /// counts.
    ///
    /// # Errors
    /// `RepoInfoError`.
    pub fn parse(bytes: &[u8]) -> Result<Self, RepoInfoError> {
        if bytes.len() > REPO_INFO_MOST {
            return Err(RepoInfoError::TooLarge);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| RepoInfoError::NotText)?;
        let (mut name, mut identifier, mut url, mut arch) = (None, None, None, None);
        for (number, line) in text.lines().enumerate() {
            let words = words(line).map_err(|problem| RepoInfoError::Line { line: number + 1, problem })?;
            let [key, value, ..] = &words[..] else { continue };
            let of_key = match key.to_ascii_lowercase().as_str() {
                "name" => &mut name,
                "identifier" => &mut identifier,
                // Its earlier name (RepositoryInfo.cpp, 2026-08).
                "url" => &mut url,
                "architecture" => &mut arch,
                _ => continue,
            };
            *of_key = Some(value.clone());
        }
        let identifier = identifier.or(url).ok_or(RepoInfoError::Without("identifier"))?;
        Ok(Self {
            name: name.filter(|name| !name.is_empty()).ok_or(RepoInfoError::Without("name"))?,
            identifier,
            arch: arch.ok_or(RepoInfoError::Without("architecture"))?,
        })
    }
}

/// Splits a line into words: parted by white space or `=`, quoted by `"` or `'`, with `\` before a character that has
/// no meaning of its own then, up to `#` or `;`.
fn words(line: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut chars = line.chars().peekable();
    while let Some(first) = chars.next() {
        match first {
            '#' | ';' => break,
            '=' => {}
            c if c.is_whitespace() => {}
            quote @ ('"' | '\'') => {
                let mut word = String::new();
                loop {
                    match chars.next().ok_or("a quote is not closed")? {
                        c if c == quote => break,
                        '\\' => word.push(chars.next().ok_or("a quote is not closed")?),
                        c => word.push(c),
                    }
                }
                words.push(word);
            }
            first => {
                let mut word = String::new();
                let mut next = Some(first);
                while let Some(c) = next {
                    word.push(if c == '\\' { chars.next().ok_or("it ends with a backslash")? } else { c });
                    next = chars.next_if(|c| !c.is_whitespace() && !matches!(c, '=' | '#' | ';' | '"'));
                }
                words.push(word);
            }
        }
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_is_read_with_its_quotes_and_comments() {
        let text = b"# by hand\nname DemoRepo\nvendor \"T # x\"\n\nbaseurl http://127.0.0.1:8765/haiku/demo\n\
            identifier tag:example.org,2026:demo # its own\nArchitecture = x86_64\npriority 1\n";
        let expected = RepoInfo {
            name: "DemoRepo".to_owned(),
            identifier: "tag:example.org,2026:demo".to_owned(),
            arch: "x86_64".to_owned(),
        };
        assert_eq!(RepoInfo::parse(text), Ok(expected));
    }

    #[test]
    fn the_old_key_of_the_identifier_is_read_where_the_new_one_is_missing() {
        let info = RepoInfo::parse(b"name x\nurl http://h/x\narchitecture any\n").unwrap();
        assert_eq!(info.identifier, "http://h/x");
        let info = RepoInfo::parse(b"name x\nurl http://h/x\nidentifier tag:x\narchitecture any\n").unwrap();
        assert_eq!(info.identifier, "tag:x");
    }

    #[test]
    fn what_is_no_description_is_refused_with_its_reason() {
        let said = |bytes: &[u8]| RepoInfo::parse(bytes).unwrap_err().to_string();
        assert_eq!(said(b"name x\nidentifier \"y\n"), "line 2: a quote is not closed");
        assert_eq!(said(b"name x\nidentifier y\n"), "it has no architecture");
        assert_eq!(said(b"<html>"), "it has no identifier");
        assert_eq!(said(b"\xff\xfe"), "it is not text");
        assert_eq!(said(&vec![b'#'; REPO_INFO_MOST + 1]), "it has more than 65536 bytes");
    }
}
