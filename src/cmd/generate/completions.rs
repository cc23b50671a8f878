//! The completions: clap's own, and what it cannot know: settings, indexes in use, packages, pacman's CacheDirs.
//!
//! Settings are known now; the others are asked for by the shell when they are needed, of pkgswarm and pacman.

use clap_complete::Shell;

use super::{Pages, visible};
use crate::config::keys::KEYS;

/// Prints the names of the indexes in use, one a line.
const INDEXES: &str = r#"pkgswarm index ls --json 2>/dev/null | sed -n 's/.*"name":"\([^"]*\)".*/\1/p'"#;
/// Prints the names of all packages of the sync databases.
const PACKAGES: &str = "pacman -Slq 2>/dev/null";
/// Prints the names of packages that have an update, as the last look saw it.
const PENDING: &str = "pacman -Qqu 2>/dev/null";
/// Prints pacman's CacheDirs.
const CACHES: &str = "pacman-conf CacheDir 2>/dev/null";

/// Adds the files of all shells.
pub(super) fn completions(pages: &mut Pages) {
    for (shell, name) in [(Shell::Bash, "pkgswarm.bash"), (Shell::Zsh, "_pkgswarm"), (Shell::Fish, "pkgswarm.fish")] {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut visible().disable_help_subcommand(false), "pkgswarm", &mut text);
        let text = String::from_utf8(text).expect("the grammar is text");
        let text = match shell {
            Shell::Bash => text + &bash(),
            Shell::Zsh => zsh(text),
            _ => text + &fish(),
        };
        pages.push((format!("completions/{name}"), text.into_bytes()));
    }
}

fn keys(end: &str, between: &str) -> String {
    KEYS.iter().map(|key| format!("{}{end}", key.name)).collect::<Vec<_>>().join(between)
}

/// Returns a function around clap's, which answers where clap would offer files or nothing.
///
/// Names of packages are foreign text, that of unsigned databases. `compgen -W` expands its words as the shell does
/// (bash(1), Programmable Completion), so they are given to it as the name of a variable, which is expanded once; and
/// bash inserts a word as it is, so that one which a shell would read as more than a word is not offered. Test:
/// `bash_runs_nothing_that_a_name_holds`.
fn bash() -> String {
    let (settings, assignments) = (keys("", " "), keys("=", " "));
    format!(
        r#"
_pkgswarm_offer() {{
    local words=$1
    mapfile -t COMPREPLY < <(compgen -W '$words' -X '*[![:alnum:]@._+:/=-]*' -- "$cur")
}}
_pkgswarm_more() {{
    local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} words="" word
    local -a said=()
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        [[ $word == -* ]] || said+=("$word")
    done
    case $prev in
    --set)
        compopt -o nospace 2>/dev/null
        _pkgswarm_offer "{assignments}"
        return
        ;;
    --only)
        if [[ ${{said[0]}} == prefetch ]]; then
            _pkgswarm_offer "$({PENDING})"
            return
        fi
        ;;
    esac
    if [[ $cur != -* ]]; then
        case "${{said[*]}}" in
        config) words="{settings}" ;;
        "index rm" | "index show" | "index refresh"*) words=$({INDEXES}) ;;
        "index audit"*)
            compopt -o filenames 2>/dev/null
            _pkgswarm_offer "$({INDEXES}; {CACHES})"
            mapfile -t -O "${{#COMPREPLY[@]}}" COMPREPLY < <(compgen -f -- "$cur")
            return
            ;;
        why | fetch*) words=$({PACKAGES}) ;;
        esac
        if [[ -n $words ]]; then
            _pkgswarm_offer "$words"
            return
        fi
    fi
    _pkgswarm "$@"
}}
complete -F _pkgswarm_more -o bashdefault -o default pkgswarm
"#
    )
}

/// Puts functions of our own where clap says that it knows nothing better than files.
fn zsh(text: String) -> String {
    let functions = format!(
        r#"
_pkgswarm_settings() {{
    local -a names=({settings})
    _describe 'setting' names
}}
_pkgswarm_assignments() {{
    local -a names=({settings})
    compadd -S= -a names
}}
_pkgswarm_indexes() {{
    local -a names=(${{(f)"$({INDEXES})"}})
    compadd -a names
}}
_pkgswarm_packages() {{
    local -a names=(${{(f)"$({PACKAGES})"}})
    compadd -a names
}}
_pkgswarm_pending() {{
    local -a names=(${{(f)"$({PENDING})"}})
    compadd -a names
}}
_pkgswarm_audited() {{
    local -a names=(${{(f)"$({INDEXES}; {CACHES})"}})
    compadd -a names
    _files
}}
"#,
        settings = keys("", " ")
    );
    let mut out = String::new();
    for line in text.split_inclusive('\n') {
        let start = line.trim_start();
        let action = [
            ("'*--set=", "_pkgswarm_assignments"),
            ("'::key -- ", "_pkgswarm_settings"),
            ("'*::names -- ", "_pkgswarm_indexes"),
            ("':name -- Which index", "_pkgswarm_indexes"),
            ("':name -- A package", "_pkgswarm_packages"),
            ("'*::what -- What to fetch", "_pkgswarm_packages"),
            ("'*--only=[Only these packages", "_pkgswarm_pending"),
            ("'*::what -- Indexes to compare", "_pkgswarm_audited"),
        ];
        let action = action.iter().find(|(beginning, _)| start.starts_with(beginning));
        match action.and_then(|(_, action)| Some((line.rsplit_once(':')?, action))) {
            Some(((before, after), action)) => {
                let end = after.trim_start_matches(|c: char| c == '_' || c.is_ascii_alphanumeric());
                out += &format!("{before}:{action}{end}");
            }
            None => out += line,
        }
    }
    // The file's own first line names the command; functions come after it.
    let at = out.find("\n\n").map_or(0, |at| at + 1);
    out.insert_str(at, &functions);
    out
}

/// Returns what is added to clap's file.
fn fish() -> String {
    let below = |command: &str, words: &str| {
        format!("__fish_pkgswarm_using_subcommand {command}; and __fish_seen_subcommand_from {words}")
    };
    let of = |command: &str| format!("__fish_pkgswarm_using_subcommand {command}");
    let indexes = INDEXES.replace('\'', "\\'");
    let rows = [
        (of("config"), format!("-f -a '{}'", keys("", " "))),
        (of("shared"), "-f".to_owned()),
        (of("why"), format!("-f -a '({PACKAGES})'")),
        (of("fetch"), format!("-a '({PACKAGES})'")),
        (below("index", "rm show"), format!("-f -a '({indexes})'")),
        (below("index", "refresh"), format!("-f -a '({indexes})'")),
        (below("index", "audit"), format!("-a '({indexes}; {CACHES})'")),
        (of("prefetch"), format!("-l only -x -a '({PENDING})'")),
        (of("lan"), "-f".to_owned()),
        (of("store"), "-f".to_owned()),
    ];
    let mut out = String::from("\n# What the grammar does not know.\n");
    for (when, what) in rows {
        out += &format!("complete -c pkgswarm -n \"{when}\" {what}\n");
    }
    out + &format!("complete -c pkgswarm -l set -x -a '{}'\n", keys("=", " "))
}
