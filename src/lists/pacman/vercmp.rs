//! Which of two versions of a package is the newer one, as pacman decides it (vercmp(8)).

use std::cmp::Ordering;

/// Compares two versions, `[epoch:]version[-release]`; a release counts where both have one.
pub(crate) fn compare(a: &str, b: &str) -> Ordering {
    let ((epoch_a, version_a, release_a), (epoch_b, version_b, release_b)) = (parts(a), parts(b));
    let releases = || match (release_a, release_b) {
        (Some(a), Some(b)) => segments(a, b),
        _ => Ordering::Equal,
    };
    segments(epoch_a, epoch_b).then_with(|| segments(version_a, version_b)).then_with(releases)
}

fn parts(text: &str) -> (&str, &str, Option<&str>) {
    let (epoch, rest) = match text.split_once(':') {
        Some((epoch, rest)) if epoch.bytes().all(|byte| byte.is_ascii_digit()) => (epoch, rest),
        _ => ("", text),
    };
    let epoch = if epoch.is_empty() { "0" } else { epoch };
    rest.rsplit_once('-').map_or((epoch, rest, None), |(version, release)| (epoch, version, Some(release)))
}

/// Compares runs of digits as numbers and runs of letters as texts, one after the other. A number is newer than letters,
/// and letters at the end are older than nothing: `1.0rc` comes before `1.0`, and that before `1.0.1`.
fn segments(mut a: &str, mut b: &str) -> Ordering {
    if a == b {
        return Ordering::Equal;
    }
    // A separator at the end counts where the other version has ended before it.
    while !a.is_empty() && !b.is_empty() {
        let (between_a, between_b) = (separator(&mut a), separator(&mut b));
        let (Some(first_a), Some(first_b)) = (a.bytes().next(), b.bytes().next()) else { break };
        if between_a != between_b {
            return between_a.cmp(&between_b);
        }
        let is_number = first_a.is_ascii_digit();
        if is_number != first_b.is_ascii_digit() {
            return if is_number { Ordering::Greater } else { Ordering::Less };
        }
        let (run_a, run_b) = (run(&mut a, is_number), run(&mut b, is_number));
        let order = match is_number {
            true => {
                let (run_a, run_b) = (run_a.trim_start_matches('0'), run_b.trim_start_matches('0'));
                run_a.len().cmp(&run_b.len()).then_with(|| run_a.cmp(run_b))
            }
            false => run_a.cmp(run_b),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    let is_letter = |text: &str| text.starts_with(|c: char| c.is_ascii_alphabetic());
    match (a.is_empty(), b.is_empty()) {
        (true, true) => Ordering::Equal,
        (true, false) if is_letter(b) => Ordering::Greater,
        (true, false) => Ordering::Less,
        (false, _) if is_letter(a) => Ordering::Less,
        (false, _) => Ordering::Greater,
    }
}

/// Takes the separators at the beginning, and returns their number.
fn separator(text: &mut &str) -> usize {
    let rest = text.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    let count = text.len() - rest.len();
    *text = rest;
    count
}

/// Takes the digits, or the letters, at the beginning.
fn run<'t>(text: &mut &'t str, is_number: bool) -> &'t str {
    let is_of_it = |c: char| if is_number { c.is_ascii_digit() } else { c.is_ascii_alphabetic() };
    let end = text.find(|c| !is_of_it(c)).unwrap_or(text.len());
    let (run, rest) = text.split_at(end);
    *text = rest;
    run
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_in_the_order_that_pacman_gives_them() {
        // As `vercmp` prints it, each older than the next.
        let rising = [
            "1.0a-1",
            "1.0b-1",
            "1.0beta-1",
            "1.0p-1",
            "1.0pre-1",
            "1.0rc-1",
            "1.0-1",
            "1.0-2",
            "1.0.a-1",
            "1.0.1-1",
            "1.2-1",
            "1.10-1",
            "2-1",
            "1:0.1-1",
            "2:0-1",
        ];
        for (at, a) in rising.iter().enumerate() {
            for (other, b) in rising.iter().enumerate() {
                assert_eq!(compare(a, b), at.cmp(&other), "{a} {b}");
            }
        }
        for (a, b) in [("1.0", "1.0-3"), ("0:1.0-1", "1.0-1"), ("1.01-1", "1.1-1"), ("", ""), ("1..0", "1..0")] {
            assert_eq!(compare(a, b), Ordering::Equal, "{a} {b}");
        }
    }
}
