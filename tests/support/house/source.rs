//! One Rust file, parsed as far as counting needs it: its code without comments, literals and tests, and its
//! comments.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A file of Rust.
pub struct Source {
    pub path: PathBuf,
    /// The whole text, as written.
    pub text: String,
    /// Without comments, the insides of literals, and modules of tests. Lines keep their numbers.
    pub code: String,
    /// True if the whole file is a module of tests.
    pub is_test: bool,
}

/// A type at the top of a module.
pub struct Type {
    pub name: String,
    /// True if other modules can see it.
    pub is_public: bool,
    /// Named fields; none for what is not a struct with names.
    pub fields: usize,
    /// Fields that other modules cannot see.
    pub hidden_fields: usize,
    /// True if serde reads or writes it: its fields are a written format.
    pub is_format: bool,
}

impl Source {
    /// Reads every `.rs` file below `top`, sorted by path.
    pub fn all_below(top: &Path) -> Vec<Self> {
        let mut paths = Vec::new();
        collect(top, &mut paths);
        paths.sort();
        let texts: Vec<(PathBuf, String)> = paths
            .into_iter()
            .map(|path| {
                let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
                (path, text)
            })
            .collect();
        let tests: HashSet<PathBuf> = texts.iter().flat_map(|(path, text)| files_of_tests(path, text)).collect();
        texts
            .into_iter()
            .map(|(path, text)| {
                let code = without_tests(&without_comments_and_literals(&text));
                let is_test =
                    path.ancestors().any(|part| tests.contains(part) || tests.contains(&part.with_extension("rs")));
                Self { path, text, code, is_test }
            })
            .collect()
    }

    /// Counts lines that hold a comment and nothing else.
    pub fn comment_lines(&self) -> usize {
        self.text.lines().filter(|line| line.trim_start().starts_with("//")).count()
    }

    /// Counts lines of code outside of tests.
    pub fn code_lines(&self) -> usize {
        if self.is_test { 0 } else { self.code.lines().filter(|line| !line.trim().is_empty()).count() }
    }

    /// Lists structs, enums, unions, traits and aliases that begin at the margin.
    pub fn types(&self) -> Vec<Type> {
        let lines: Vec<&str> = self.code.lines().collect();
        let mut types = Vec::new();
        for (at, line) in lines.iter().enumerate() {
            let Some((is_public, kind, name)) = declaration(line) else { continue };
            let body = lines[at + 1..].iter().take_while(|line| !line.starts_with('}'));
            let fields: Vec<&str> = match kind == "struct" && line.trim_end().ends_with('{') {
                true => body.filter_map(|line| field(line)).collect(),
                false => Vec::new(),
            };
            let attributes =
                lines[..at].iter().rev().take_while(|line| line.starts_with(['#', ' ', ')']) || line.is_empty());
            types.push(Type {
                name: name.to_owned(),
                is_public,
                fields: fields.len(),
                hidden_fields: fields.iter().filter(|field| !field.starts_with("pub")).count(),
                is_format: attributes.take(6).any(|line| line.contains("Serialize") || line.contains("Deserialize")),
            });
        }
        types
    }
}

fn collect(top: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(top).unwrap_or_else(|e| panic!("{}: {e}", top.display())) {
        let path = entry.expect("an entry of a directory").path();
        match path.is_dir() {
            true => collect(&path, paths),
            false if path.extension().is_some_and(|ext| ext == "rs") => paths.push(path),
            false => {}
        }
    }
}

/// Returns the name of the type or function that a line at the margin declares.
pub fn declared(line: &str) -> Option<&str> {
    let rest = without_visibility(line)?;
    let rest = ["const ", "async ", "unsafe "].iter().fold(rest, |rest, word| rest.strip_prefix(word).unwrap_or(rest));
    let function =
        rest.strip_prefix("fn ").and_then(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next());
    function.or_else(|| declaration(line).map(|(_, _, name)| name))
}

fn without_visibility(line: &str) -> Option<&str> {
    match line.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => Some(rest.split_once(") ")?.1),
        Some(rest) => Some(rest.trim_start()),
        None => Some(line),
    }
}

/// Parses `pub struct Name {`: public, kind, name.
fn declaration(line: &str) -> Option<(bool, &str, &str)> {
    let is_public = line.starts_with("pub");
    let (kind, rest) = without_visibility(line)?.split_once(' ')?;
    let name = rest.split(|c: char| !c.is_alphanumeric() && c != '_').next()?;
    (["struct", "enum", "union", "trait", "type"].contains(&kind) && !name.is_empty())
        .then_some((is_public, kind, name))
}

/// Parses a field with its visibility: four spaces in, a name, a colon.
fn field(line: &str) -> Option<&str> {
    let field = line.strip_prefix("    ").filter(|rest| !rest.starts_with([' ', '#', '}', ')']))?;
    field.contains(':').then_some(field)
}

/// Lists the files of `#[cfg(test)] mod NAME;`, with or without a `#[path]`.
fn files_of_tests(path: &Path, text: &str) -> Vec<PathBuf> {
    let folder = match path.file_name().and_then(|name| name.to_str()) {
        Some("mod.rs" | "lib.rs" | "main.rs") => path.parent().expect("a folder").to_owned(),
        _ => path.with_extension(""),
    };
    let (mut files, mut armed, mut given) = (Vec::new(), false, None);
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[cfg(test)") || line.starts_with("#[cfg(all(test") {
            armed = true;
        } else if let Some(name) = line.strip_prefix("#[path = \"").and_then(|rest| rest.strip_suffix("\"]")) {
            given = Some(path.parent().expect("a folder").join(name));
        } else if let Some(name) = module_in_a_file(line).filter(|_| armed) {
            files.push(given.take().unwrap_or_else(|| folder.join(format!("{name}.rs"))));
            files.push(folder.join(name).join("mod.rs"));
            armed = false;
        } else if !line.starts_with("//") {
            (armed, given) = (false, None);
        }
    }
    files
}

fn module_in_a_file(line: &str) -> Option<&str> {
    line.trim_start_matches("pub ").trim_start_matches("pub(crate) ").strip_prefix("mod ")?.strip_suffix(';')
}

/// Blanks `#[cfg(test)]` items that have a body, up to the brace that closes them.
fn without_tests(code: &str) -> String {
    let (mut kept, mut armed, mut inside) = (String::new(), false, None);
    for line in code.lines() {
        let indent = line.len() - line.trim_start().len();
        match inside {
            Some(margin) => {
                if indent == margin && line.trim() == "}" {
                    inside = None;
                }
            }
            None if line.trim_start().starts_with("#[cfg(test)") || line.trim_start().starts_with("#[cfg(all(test") => {
                armed = true;
            }
            None if armed && line.trim_start().starts_with('#') => {}
            None if armed => {
                armed = line.trim().is_empty();
                if line.trim_end().ends_with('{') {
                    inside = Some(indent);
                }
            }
            None => kept += line,
        }
        kept.push('\n');
    }
    kept
}

/// Blanks comments, and text between quotes.
fn without_comments_and_literals(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        let rest = &bytes[at..];
        let skipped = if rest.starts_with(b"//") {
            rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len())
        } else if rest.starts_with(b"/*") {
            text[at..].find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(hashes) = raw_string(bytes, at) {
            let (opening, closing) = (hashes + 2, format!("\"{}", "#".repeat(hashes)));
            text[at + opening..].find(&closing).map_or(rest.len(), |end| opening + end + closing.len())
        } else if rest[0] == b'"' {
            quoted(rest)
        } else if rest.starts_with(b"'\\") {
            2 + rest[3..].iter().position(|byte| *byte == b'\'').map_or(1, |end| end + 2)
        } else if rest[0] == b'\'' && text[at + 1..].chars().nth(1) == Some('\'') {
            2 + text[at + 1..].chars().next().map_or(0, char::len_utf8)
        } else {
            0
        };
        match skipped {
            0 => {
                out.push(rest[0]);
                at += 1;
            }
            _ => {
                out.extend(rest[..skipped].iter().filter(|byte| **byte == b'\n'));
                at += skipped;
            }
        }
    }
    String::from_utf8(out).expect("whole characters were taken out")
}

/// Returns the length of the literal that begins here, with its quotes.
fn quoted(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != b'"' {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

/// Returns the number of `#` of a raw string that begins at `at`.
fn raw_string(bytes: &[u8], at: usize) -> Option<usize> {
    let before = at.checked_sub(1).map(|before| bytes[before]);
    let is_word = before.is_some_and(|byte| byte.is_ascii_alphanumeric() && byte != b'b' || byte == b'_');
    let hashes = bytes[at..].strip_prefix(b"r").filter(|_| !is_word)?;
    let count = hashes.iter().take_while(|byte| **byte == b'#').count();
    (hashes.get(count) == Some(&b'"')).then_some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_line_declares_is_told_by_its_name() {
        let told = [
            "pub struct Name {",
            "pub(crate) async fn work<T>() {",
            "type Alias = u8;",
            "    fn method() {",
            "use std::fs;",
            "const MOST: u8 = 1;",
        ];
        let declared: Vec<_> = told.into_iter().filter_map(declared).collect();
        assert_eq!(declared, ["Name", "work", "Alias"]);
    }

    #[test]
    fn comments_literals_and_tests_are_no_code() {
        let text = "use a::b; // use c;\nlet x = \"use d; \\\" // \"; let y = 'z'; let q = '\\'';\n/* use e; */ let s = r#\"use f;\"#;\n\
                    fn lives<'a>() {}\n#[cfg(test)]\nmod tests {\n    use g;\n}\nfn after() {}\n";
        let code = without_tests(&without_comments_and_literals(text));
        assert!(!code.contains("use c") && !code.contains("use d") && !code.contains("use e"), "{code}");
        assert!(!code.contains("use f") && !code.contains("use g"), "{code}");
        assert!(code.contains("use a::b;") && code.contains("lives<'a>") && code.contains("fn after"), "{code}");
        assert_eq!(code.lines().count(), text.lines().count());
    }
}
