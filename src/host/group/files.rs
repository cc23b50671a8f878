//! The files of a group: how they are read and written, and who else may open them.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use serde_json::Value;

use crate::base::error::Error;
use crate::base::fsx;
use crate::config::group_file::{GROUP_FILE_MOST, GroupFile};

/// Most bytes of a configuration.
const CONFIG_MOST: u64 = 1 << 20;

/// Reads a group's file.
///
/// # Errors
/// Usage errors: it cannot be read, others than its owner may open it, or it is none. No secret is repeated.
pub(crate) fn read_file(path: &Path) -> Result<GroupFile, Error> {
    parse(path, fsx::open_followed)
}

/// Reads one that `open` opens.
///
/// # Errors
/// As of [`read_file`].
pub(super) fn parse(path: &Path, open: impl FnOnce(&Path) -> io::Result<fs::File>) -> Result<GroupFile, Error> {
    let failed = |e: io::Error| Error::usage(path.display(), format!("the group's file cannot be read: {e}"));
    let file = open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(Error::usage(path.display(), format!("others than its owner may open it (mode {mode:04o})"))
            .hint(format!("chmod 600 {}", path.display())));
    }
    let bytes = fsx::read_up_to(file, GROUP_FILE_MOST).map_err(failed)?;
    let bytes = bytes.ok_or_else(|| Error::usage(path.display(), "is no group's file: it is larger than 64 KiB"))?;
    let text =
        String::from_utf8(bytes).map_err(|_| Error::usage(path.display(), "is no group's file: it is no text"))?;
    GroupFile::parse(&text).map_err(|e| Error::usage(path.display(), format!("is no group's file: {e}")))
}

/// Reads a file of the group's two programs; a link and what is no regular file are refused.
///
/// # Errors
/// `Local` where it cannot be read; a usage error where it is damaged.
pub(super) fn json_of(path: &Path) -> Result<Value, Error> {
    let file = fsx::open_read(path).map_err(|e| Error::local(path.display(), e))?;
    let bytes = fsx::read_up_to(file, CONFIG_MOST).map_err(|e| Error::local(path.display(), e))?.unwrap_or_default();
    serde_json::from_slice(&bytes).map_err(|e| Error::usage(path.display(), format!("is no JSON: {e}")))
}

/// Changes one in one step.
///
/// # Errors
/// As of [`json_of`], and those of the disk; it is as it was then.
pub(super) fn change(path: &Path, with: impl FnOnce(&mut Value)) -> Result<(), Error> {
    let mut config = json_of(path)?;
    with(&mut config);
    let text = serde_json::to_string_pretty(&config).map_err(|e| Error::local(path.display(), e))?;
    put(path, text.as_bytes())
}

/// Writes a file of mode 0600 in one step.
///
/// # Errors
/// `Local`; what was there stays.
pub(super) fn put(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let options = fsx::ReplaceOptions { mode: 0o600, owner: None, lasting: fsx::Lasting::Synced };
    let file = fsx::Replacement::prepare(path, &options, |to| io::Write::write_all(to, bytes));
    file.and_then(fsx::Replacement::commit).map_err(|e| Error::local(path.display(), e))
}
