//! The facts about a stored file beside its bytes: a small file of its own, `<key>.name`.

use std::io;
use std::path::Path;

use super::Stay;
use crate::fsx;
use crate::name::FileName;

/// The content of that file: pacman's name, then how long the file stays, then the source that delivered it.
pub(super) struct Note {
    pub(super) name: Option<String>,
    pub(super) stay: Stay,
    pub(super) from: Option<String>,
}

impl Note {
    pub(super) fn beside(path: &Path) -> Self {
        let text = std::fs::read_to_string(path.with_extension("name")).unwrap_or_default();
        let mut lines = text.lines().map(str::to_owned);
        let name = lines.next();
        let stay = if lines.next().as_deref() == Some("passing") { Stay::Passing } else { Stay::Lasting };
        Self { name, stay, from: lines.next().filter(|from| !from.is_empty()) }
    }

    pub(super) fn write(path: &Path, name: &FileName, stay: Stay, from: &str) -> io::Result<()> {
        let stay = if stay == Stay::Passing { "passing" } else { "lasting" };
        fsx::replace(&path.with_extension("name"), format!("{name}\n{stay}\n{from}\n").as_bytes(), 0o644)
    }
}
