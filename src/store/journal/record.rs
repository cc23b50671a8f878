//! One line of the journal: the file, its purpose, its sources.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::fmt::Write as _;

use crate::base::name::{FileName, RepoName};

/// Longest line that is written or read, in bytes: four times the length for a file from a dozen sources.
pub(crate) const LINE_MOST: usize = 4096;

/// Most sources that are named in one line; the bytes of further ones are summed up under `others`.
const SOURCES_MOST: usize = 12;

/// The purpose of a delivery.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum By {
    /// pacman or makepkg, which waited for it.
    Xfer,
    /// A person, by `pkgswarm fetch`.
    Fetch,
    /// The rest of a pacman run, ahead of pacman.
    Ahead,
    /// Pending updates, before a caller asked.
    Prefetch,
    /// A client of the HTTP endpoint, which waited for it.
    Endpoint,
    /// A share of an index that is kept in Kubo.
    Keep,
}

impl By {
    const ALL: [By; 6] = [By::Xfer, By::Fetch, By::Ahead, By::Prefetch, By::Endpoint, By::Keep];

    /// Returns its word in the journal.
    pub(crate) fn word(self) -> &'static str {
        match self {
            By::Xfer => "xfer",
            By::Fetch => "fetch",
            By::Ahead => "ahead",
            By::Prefetch => "prefetch",
            By::Endpoint => "endpoint",
            By::Keep => "keep",
        }
    }
}

/// The bytes that one source sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Contribution {
    /// Kind and, where it has one, host: `kubo`, `gateway g.example`, `mirror m.example:8080`.
    pub source: String,
    /// Bytes of bodies that it sent, discarded ones included.
    pub bytes: u64,
}

impl Contribution {
    /// Returns the kind of source: the first word.
    pub(crate) fn kind(&self) -> &str {
        self.source.split(' ').next().unwrap_or_default()
    }
}

/// One file that was delivered or fetched, or given up after some bytes had come.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JournalRecord {
    /// End time, Unix seconds.
    pub at: u64,
    /// Duration, in milliseconds.
    pub took: u64,
    /// The purpose.
    pub by: By,
    /// Its repository, where it belongs to one.
    pub repo: Option<RepoName>,
    /// Its name.
    pub name: FileName,
    /// Bytes handed to the caller; 0 when it was only put into the store, or failed.
    pub delivered: u64,
    /// The bytes that each source sent over the network or from a local directory. Bytes already stored here are
    /// in no share.
    pub shares: Vec<Contribution>,
}

impl JournalRecord {
    /// Counts the bytes that all sources together sent.
    pub(crate) fn received(&self) -> u64 {
        self.shares.iter().map(|share| share.bytes).fold(0, u64::saturating_add)
    }

    /// Formats the line, line break included. Fields are separated by tabs, which no name contains.
    pub fn to_line(&self) -> String {
        let repo = self.repo.as_ref().map_or("-", RepoName::as_str);
        let mut line =
            format!("{}\t{}\t{}\t{repo}\t{}\t{}", self.at, self.took, self.by.word(), self.name, self.delivered);
        let (named, others) = self.shares.split_at(self.shares.len().min(SOURCES_MOST));
        for share in named {
            let source: String = share.source.chars().filter(|c| !c.is_control()).take(255).collect();
            write!(line, "\t{source}={}", share.bytes).expect("a String takes everything");
        }
        let others: u64 = others.iter().map(|share| share.bytes).sum();
        if others > 0 {
            write!(line, "\tothers={others}").expect("a String takes everything");
        }
        line.push('\n');
        line
    }

    /// Reads a line without its break; `None` for anything but a complete and well-formed line.
    pub fn from_line(line: &str) -> Option<Self> {
        if line.len() > LINE_MOST {
            return None;
        }
        let mut fields = line.split('\t');
        let mut field = || fields.next();
        let (at, took, by) = (field()?.parse().ok()?, field()?.parse().ok()?, field()?);
        let (repo, name, delivered) = (field()?, field()?, field()?.parse().ok()?);
        let by = By::ALL.into_iter().find(|known| known.word() == by)?;
        let repo = if repo == "-" { None } else { Some(RepoName::new(repo).ok()?) };
        let shares = fields.map(|field| {
            let (source, bytes) = field.rsplit_once('=')?;
            Some(Contribution { source: source.to_owned(), bytes: bytes.parse().ok()? })
        });
        let (name, shares) = (FileName::new(name).ok()?, shares.collect::<Option<Vec<_>>>()?);
        Some(Self { at, took, by, repo, name, delivered, shares })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(super) fn record(shares: Vec<Contribution>) -> JournalRecord {
        JournalRecord {
            at: 1_700_000_000,
            took: 12,
            by: By::Xfer,
            repo: RepoName::new("core").ok(),
            name: FileName::new("g++ x-1:2-1-any.pkg.tar.zst").unwrap(),
            delivered: 99,
            shares,
        }
    }

    #[test]
    fn a_record_is_one_line_that_is_read_back() {
        let shares = vec![
            Contribution { source: "kubo".to_owned(), bytes: 90 },
            Contribution { source: "mirror m=x.example:8080".to_owned(), bytes: 9 },
        ];
        let record = record(shares);
        let line = record.to_line();
        assert_eq!(
            line,
            "1700000000\t12\txfer\tcore\tg++ x-1:2-1-any.pkg.tar.zst\t99\tkubo=90\tmirror m=x.example:8080=9\n"
        );
        assert_eq!(JournalRecord::from_line(line.trim_end()), Some(record));
    }

    #[test]
    fn bytes_of_many_sources_are_not_lost_and_the_line_stays_short() {
        let shares =
            (0..40).map(|i| Contribution { source: format!("mirror {i}{}", "x".repeat(400)), bytes: 1 }).collect();
        let line = record(shares).to_line();
        assert!(line.len() < LINE_MOST, "{}", line.len());
        assert_eq!(JournalRecord::from_line(line.trim_end()).unwrap().received(), 40);
    }

    #[test]
    fn half_a_line_is_no_record() {
        let line = record(vec![Contribution { source: "kubo".to_owned(), bytes: 9 }]).to_line();
        let whole = line.trim_end();
        let cut = whole.rfind('\t').unwrap();
        // Cut at the end of a field it is a shorter record; no version writes those.
        for at in (0..whole.len()).filter(|at| *at < cut - 2) {
            assert_eq!(JournalRecord::from_line(&whole[..at]), None, "{at}");
        }
        assert_eq!(JournalRecord::from_line(&whole[..whole.len() - 1]), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
            let _ = JournalRecord::from_line(&text);
        }

        #[test]
        fn whatever_a_source_is_called_the_line_is_read_back(source in ".{0,40}", bytes in any::<u64>()) {
            let line = record(vec![Contribution { source, bytes }]).to_line();
            prop_assert_eq!(JournalRecord::from_line(line.strip_suffix('\n').unwrap()).unwrap().received(), bytes);
        }
    }
}
