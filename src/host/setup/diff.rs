//! Differences between two texts, line by line: shown to people, and removed from a text that was edited since.

use similar::{Algorithm, DiffOp, capture_diff_slices, group_diff_ops};

use crate::base::name::shown;

/// Lines of context around a change, as in diff(1).
const AROUND: usize = 3;

/// Adjacent lines that were replaced; either side may be empty.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Hunk {
    old: Vec<u8>,
    new: Vec<u8>,
}

fn lines(text: &[u8]) -> Vec<&[u8]> {
    text.split_inclusive(|byte| *byte == b'\n').collect()
}

/// Formats the change like `diff -u`, with control characters made visible. Empty when there is none.
pub(crate) fn unified(name: &str, before: &[u8], after: &[u8]) -> String {
    let (old, new) = (lines(before), lines(after));
    let ops = capture_diff_slices(Algorithm::Myers, &old, &new);
    let groups = group_diff_ops(ops, AROUND);
    let mut out = String::new();
    for group in groups.iter().filter(|group| !group.is_empty()) {
        if out.is_empty() {
            out = format!("--- {name}\n+++ {name}\n");
        }
        let (first, last) = (&group[0], &group[group.len() - 1]);
        let (from, to) = (first.old_range().start, last.old_range().end);
        let (new_from, new_to) = (first.new_range().start, last.new_range().end);
        out += &format!("@@ -{} +{} @@\n", hunk_range(from, to), hunk_range(new_from, new_to));
        for op in group {
            let kept = matches!(op, DiffOp::Equal { .. });
            for line in &old[op.old_range()] {
                out += &shown_line(if kept { ' ' } else { '-' }, line);
            }
            if !kept {
                for line in &new[op.new_range()] {
                    out += &shown_line('+', line);
                }
            }
        }
    }
    out
}

/// Formats the change as its lines alone, below the place of each: `/etc/pacman.conf, line 8:`.
pub(crate) fn brief(name: &str, before: &[u8], after: &[u8]) -> String {
    let (old, new) = (lines(before), lines(after));
    let mut out = String::new();
    for op in capture_diff_slices(Algorithm::Myers, &old, &new) {
        if matches!(op, DiffOp::Equal { .. }) {
            continue;
        }
        out += &format!("{name}, line {}:\n", op.new_range().start + 1);
        old[op.old_range()].iter().for_each(|line| out += &bare_line('-', line));
        new[op.new_range()].iter().for_each(|line| out += &bare_line('+', line));
    }
    out
}

/// Formats a line with its sign; whether the last one ended is not for people.
fn bare_line(sign: char, line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    format!("{sign} {}\n", shown(text.trim_end_matches(['\r', '\n'])))
}

/// Formats `from,count` as in a hunk's header: counted from 1, and from the line before when there is none.
fn hunk_range(from: usize, to: usize) -> String {
    let count = to - from;
    format!("{},{count}", if count == 0 { from } else { from + 1 })
}

fn shown_line(sign: char, line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let (text, end) = match text.strip_suffix('\n') {
        Some(text) => (text.strip_suffix('\r').unwrap_or(text), "\n"),
        None => (&*text, "\n\\ No newline at end of file\n"),
    };
    let text: Vec<_> = text.split('\t').map(shown).collect();
    format!("{sign}{}{end}", text.join("\t"))
}

/// Reverts in `now` the change from `before` to `after`, and keeps all other changes.
///
/// `None` if the two cannot be told apart: lines that were written are not there any more just as they were, or
/// are there more than once.
pub(crate) fn without(now: &[u8], before: &[u8], after: &[u8]) -> Option<Vec<u8>> {
    if now == after {
        return Some(before.to_vec());
    }
    let (old, new) = (lines(before), lines(after));
    let ops = capture_diff_slices(Algorithm::Myers, &old, &new);
    let changed = ops.iter().filter(|op| !matches!(op, DiffOp::Equal { .. }));
    let hunks = changed.map(|op| Hunk { old: old[op.old_range()].concat(), new: new[op.new_range()].concat() });
    let mut text = now.to_vec();
    for hunk in hunks {
        text = replaced(&text, &hunk)?;
    }
    Some(text)
}

/// Replaces the hunk's new lines by its old ones in `text`; the new ones must be there once, as whole lines.
fn replaced(text: &[u8], hunk: &Hunk) -> Option<Vec<u8>> {
    let (have, want) = (lines(text), lines(&hunk.new));
    if want.is_empty() {
        return None; // lines that were only removed leave no mark of their place
    }
    let mut found = (0..have.len()).filter(|at| have[*at..].starts_with(&want));
    let (at, None) = (found.next()?, found.next()) else { return None };
    Some([&have[..at].concat(), &hunk.old[..], &have[at + want.len()..].concat()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_shown_as_diff_does() {
        let before = b"1\n2\n3\n4\n5\n6\n7\n8";
        let after = b"1\n2\n3\n4\n#5\nours\n6\n7\n8";
        let want =
            "--- f\n+++ f\n@@ -2,7 +2,8 @@\n 2\n 3\n 4\n-5\n+#5\n+ours\n 6\n 7\n 8\n\\ No newline at end of file\n";
        assert_eq!(unified("f", before, after), want);
        assert_eq!(unified("f", before, before), "");
        assert_eq!(unified("f", b"", b"\x1b[2J\tx\r\n"), "--- f\n+++ f\n@@ -0,0 +1,1 @@\n+\\u{1b}[2J\tx\n");
    }

    #[test]
    fn our_lines_are_taken_out_of_a_text_that_was_edited_since() {
        let before = b"[options]\nXferCommand = curl\nColor\n[core]\n";
        let after = b"[options]\n#XferCommand = curl\n# ours\nXferCommand = us\nColor\n[core]\n";
        assert_eq!(without(after, before, after).unwrap(), before);
        let edited = b"# mine\n[options]\n#XferCommand = curl\n# ours\nXferCommand = us\n#Color\n[core]\nServer = x\n";
        let want = b"# mine\n[options]\nXferCommand = curl\n#Color\n[core]\nServer = x\n";
        assert_eq!(without(edited, before, after).unwrap(), want);
    }

    #[test]
    fn what_cannot_be_told_apart_is_left() {
        let (before, after) = (b"[options]\nColor\n", b"[options]\n# ours\nXferCommand = us\nColor\n");
        for now in [
            &b"[options]\n# ours\nXferCommand = us --set x=y\nColor\n"[..],
            b"[options]\n# ours\nColor\nXferCommand = us\n",
            b"[options]\n# ours\nXferCommand = us\n# ours\nXferCommand = us\n",
            b"",
        ] {
            assert_eq!(without(now, before, after), None, "{}", String::from_utf8_lossy(now));
        }
        assert_eq!(without(b"a\nb\n", b"a\nx\n", b"a\n"), None);
    }
}
