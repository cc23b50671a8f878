//! The facts about a stored file beside its bytes: a small file of its own, `<key>.name`.

use std::io;
use std::path::Path;

use super::Stay;
use crate::base::fsx;
use crate::base::name::FileName;
use crate::store::journal::FileOrigin;

/// The content of that file: pacman's name, then how long the file stays, then its origin ([`FileOrigin::to_lines`]).
pub(super) struct Note {
    pub(super) name: Option<String>,
    pub(super) stay: Stay,
    pub(super) from: FileOrigin,
}

impl Note {
    pub(super) fn beside(path: &Path) -> Self {
        let text = std::fs::read_to_string(path.with_extension("name")).unwrap_or_default();
        let mut lines = text.lines();
        let name = lines.next().map(str::to_owned);
        let stay = if lines.next() == Some("passing") { Stay::Passing } else { Stay::Lasting };
        let from = FileOrigin::from_lines(lines);
        Self { name, stay, from }
    }

    pub(super) fn write(path: &Path, name: &FileName, stay: Stay, from: &FileOrigin) -> io::Result<()> {
        let stay = if stay == Stay::Passing { "passing" } else { "lasting" };
        fsx::replace(&path.with_extension("name"), format!("{name}\n{stay}\n{}", from.to_lines()).as_bytes(), 0o644)
    }
}
