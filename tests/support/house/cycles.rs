//! Finds circles of files that use each other's definitions.
//!
//! A module and the ones below it count as one house: a parent that declares its children, and children that use
//! the parent's items, are no circle.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use super::source::Source;

/// `["index", "refresh", "parts"]`.
type Module = Vec<String>;

/// A name of a `use`, and its whole path.
type Import = (String, Vec<String>);

/// The files that are no tests, and for each of them the others whose definitions it uses.
pub struct FileUses<'s> {
    pub files: Vec<&'s Source>,
    pub uses: Vec<BTreeSet<usize>>,
}

/// Finds what each file uses.
pub fn uses(sources: &[Source]) -> FileUses<'_> {
    let files: Vec<&Source> = sources.iter().filter(|source| !source.is_test).collect();
    let modules: Vec<Module> = files.iter().map(|source| module_of(&source.path)).collect();
    let known: HashMap<&Module, usize> = modules.iter().zip(0..).collect();
    let imports: Vec<Vec<Import>> = files.iter().map(|source| imports(&source.code)).collect();
    let mut edges: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); files.len()];
    for (from, source) in files.iter().enumerate() {
        let paths = imports[from].iter().map(|(_, path)| path.clone()).chain(inline_paths(&source.code));
        for path in paths {
            let Some(to) = resolve(&modules[from], &path, &known, &imports, 8) else { continue };
            if !modules[to].starts_with(&modules[from]) && !modules[from].starts_with(&modules[to]) {
                edges[from].insert(to);
            }
        }
    }
    FileUses { files, uses: edges }
}

/// Lists the circles: groups of files, each of which leads to all others.
pub fn cycles(sources: &[Source]) -> Vec<Vec<String>> {
    let FileUses { files, uses: edges } = uses(sources);
    let reach: Vec<BTreeSet<usize>> = (0..files.len()).map(|from| reached(from, &edges)).collect();
    let mut groups: BTreeMap<Vec<usize>, Vec<String>> = BTreeMap::new();
    for from in 0..files.len() {
        let group: Vec<usize> = reach[from].iter().copied().filter(|to| reach[*to].contains(&from)).collect();
        if group.len() > 1 {
            let names = group.iter().map(|file| files[*file].path.display().to_string()).collect();
            groups.insert(group, names);
        }
    }
    groups.into_values().collect()
}

fn module_of(path: &Path) -> Module {
    let below = path.strip_prefix("src").expect("a file of src/").with_extension("");
    let mut names: Module = below.iter().map(|name| name.to_string_lossy().into_owned()).collect();
    if names.last().is_some_and(|last| last == "mod") || names == ["lib"] {
        names.pop();
    }
    names
}

fn reached(from: usize, edges: &[BTreeSet<usize>]) -> BTreeSet<usize> {
    let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
    while let Some(at) = next.pop() {
        next.extend(edges[at].iter().filter(|to| seen.insert(**to)));
    }
    seen
}

/// Returns the file that defines `path` in `module`; `None` for other crates.
fn resolve(
    module: &Module,
    path: &[String],
    known: &HashMap<&Module, usize>,
    imports: &[Vec<Import>],
    depth: usize,
) -> Option<usize> {
    let mut rest = path.iter().map(String::as_str).peekable();
    let mut base = module.clone();
    match rest.peek().copied()? {
        "crate" => {
            rest.next();
            base.clear();
        }
        "self" => drop(rest.next()),
        "super" => {
            while rest.next_if_eq(&"super").is_some() {
                base.pop()?;
            }
        }
        first => {
            base.push(first.to_owned());
            known.get(&base)?;
            rest.next();
        }
    }
    while let Some(name) = rest.peek() {
        base.push((*name).to_owned());
        if !known.contains_key(&base) {
            base.pop();
            break;
        }
        rest.next();
    }
    let at = *known.get(&base)?;
    // An item that the module only re-exports belongs to another file.
    let passed_on = rest.next().and_then(|item| imports[at].iter().find(|(name, path)| name == item && path.len() > 1));
    match passed_on.filter(|_| depth > 0) {
        Some((_, path)) => resolve(&base, path, known, imports, depth - 1).or(Some(at)),
        None => Some(at),
    }
}

/// Lists the names of `use` declarations.
fn imports(code: &str) -> Vec<Import> {
    let mut found = Vec::new();
    let mut rest = code;
    while let Some(at) = rest.find("use ") {
        let is_word = rest[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_');
        rest = &rest[at + 4..];
        if !is_word && let Some(end) = rest.find(';') {
            expand(&rest[..end], &[], &mut found);
        }
    }
    found
}

/// Lists the paths of `a::{b, c::d as e}` one by one.
fn expand(tree: &str, above: &[String], found: &mut Vec<Import>) {
    let tree = tree.trim();
    let (path, group) = match tree.split_once('{') {
        Some((path, group)) => (path, group.strip_suffix('}')),
        None => (tree, None),
    };
    let (path, alias) = path.split_once(" as ").map_or((path, None), |(path, alias)| (path, Some(alias.trim())));
    let names = path.split("::").map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned);
    let whole: Vec<String> = above.iter().cloned().chain(names).collect();
    let Some(group) = group else {
        let whole =
            if whole.last().is_some_and(|last| last == "self") { whole[..whole.len() - 1].to_vec() } else { whole };
        if let Some(name) = alias.or(whole.last().map(String::as_str)) {
            found.push((name.to_owned(), whole.clone()));
        }
        return;
    };
    let (mut depth, mut from) = (0, 0);
    for (at, c) in group.char_indices().chain([(group.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                expand(&group[from..at], &whole, found);
                from = (at + 1).min(group.len());
            }
            _ => {}
        }
    }
}

/// Lists paths in expressions and types: `crate::…`, `super::…`, `self::…`.
fn inline_paths(code: &str) -> impl Iterator<Item = Vec<String>> {
    ["crate::", "super::", "self::"].into_iter().flat_map(move |start| {
        code.match_indices(start).filter_map(move |(at, _)| {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
                return None;
            }
            let end = code[at..].find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':');
            let path = &code[at..end.map_or(code.len(), |end| at + end)];
            Some(path.split("::").filter(|name| !name.is_empty()).map(str::to_owned).collect())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_with_groups_is_taken_apart() {
        let found = imports("pub use a::{self, b::{C, d as e}};\nuse f;");
        let names: Vec<String> = found.iter().map(|(name, path)| format!("{name}={}", path.join("::"))).collect();
        assert_eq!(names, ["a=a", "C=a::b::C", "e=a::b::d", "f=f"]);
    }
}
