//! Root's end: receives the files that the child hands over, proves a copy of each, and decides its name.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use super::message::{MOST, Message};
use super::{Arrival, HandoverTarget, Tell};
use crate::base::error::Error;
use crate::base::fsx;
use crate::base::name::FileName;
use crate::lists::haiku;
use crate::machine::lists;
use crate::net::socket;
use crate::trust::output::Output;
use crate::trust::verify::{self, Accepted};

/// Places the files until the child has closed its end; returns their number.
pub(super) fn all(channel: &OwnedFd, target: &HandoverTarget<'_>) -> Result<usize, Error> {
    let wrong = |what: &str| Error::local("handover", format!("the unprivileged child {what}"));
    let mut placed = Vec::new();
    loop {
        let mut line = vec![0; MOST];
        let (got, file) = match socket::receive(channel, &mut line) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) if e.kind() == io::ErrorKind::ConnectionReset => return Ok(placed.len()),
            got => got.map_err(|e| wrong(&format!("cannot be read from: {e}")))?,
        };
        if got == 0 {
            return Ok(placed.len());
        }
        let file = file.ok_or_else(|| wrong("sent no file"))?;
        let message = Message::read(&line[..got]).ok_or_else(|| wrong("sent a malformed message"))?;
        let most = match target {
            HandoverTarget::At(..) => 1,
            HandoverTarget::In(_, asked, _) => asked.len(),
            HandoverTarget::Nowhere | HandoverTarget::Looking => 0,
        };
        if message.asked >= most || placed.contains(&message.asked) {
            return Err(wrong("sent a file that was not asked for"));
        }
        placed.push(message.asked);
        match target {
            HandoverTarget::At(output, tell) => place(&file, &message, output, &message.name, tell)?,
            HandoverTarget::In(dir, asked, tell) => {
                let name = name_in(dir, &asked[message.asked], &message)?;
                place(&file, &message, &Output::at(&dir.join(name.as_str()))?, name.as_str(), tell)?;
            }
            HandoverTarget::Nowhere | HandoverTarget::Looking => {}
        }
    }
}

/// Decides the name of the file in root's directory, which may be a home or `/etc`: that of a package, or the one
/// that was asked for. No other file is hidden there or replaced.
fn name_in(dir: &Path, asked: &str, message: &Message) -> Result<FileName, Error> {
    let wrong = |what: String| Error::local("handover", format!("the unprivileged child {what}"));
    let name = message.name().ok_or_else(|| wrong("sent a bad name".to_owned()))?;
    let reading = lists::read(&name);
    let is_pacmans = reading.shape.kind.is_of_package() && reading.package.is_some();
    let is_package = is_pacmans || haiku::is_file(&name);
    if name.as_str().starts_with('.') || !(is_package || name.as_str() == asked) {
        return Err(wrong(format!("names a file {name:?}, which is no package and was not asked for"))
            .hint("name the file to write with --output"));
    }
    let path = dir.join(name.as_str());
    match std::fs::symlink_metadata(&path) {
        Ok(found) if !is_package || !found.is_file() => {
            Err(Error::local(path.display(), "is there already, and no package")
                .hint("name the file to write with --output, which replaces it"))
        }
        _ => Ok(name),
    }
}

/// Copies, proves the copy, gives it its name, and reports it.
fn place(file: &File, message: &Message, output: &Output, name: &str, tell: &Tell<'_>) -> Result<(), Error> {
    let failed = |e: &dyn std::fmt::Display| Error::local(output.path().display(), format!("was not placed: {e}"));
    fsx::regular(file).map_err(|e| failed(&e))?;
    let (staged, proof) = output.stage_and_prove(file, message.sha256, message.size, message.spent)?;
    let proof = proof.map_err(|e| failed(&e))?;
    let accepted = match message.waiver {
        None => Accepted::Proven(proof),
        Some(why) => Accepted::Waived(verify::relay(why, proof)),
    };
    let copy = staged.file().map_err(|e| failed(&e))?;
    staged.commit(&accepted, message.modified())?;
    tell(&Arrival { message, name, file: &copy })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::digest::Sha256;
    use crate::trust::verify::Waiver;
    use std::io::Write as _;

    fn message(name: &str, bytes: &[u8]) -> Message {
        let (name, size) = (name.to_owned(), bytes.len() as u64);
        let (from, closing) = ("m.example\n".to_owned(), None);
        let (sha256, stored) = (Sha256::of(bytes), false);
        let (waiver, modified, cid) = (None, None, None);
        Message { asked: 0, name, sha256, size, waiver, modified, from, stored, closing, cid, spent: false }
    }

    #[test]
    fn root_places_nothing_but_what_its_child_named() {
        let dir = tempfile::tempdir().unwrap();
        let from = tempfile::tempfile().unwrap();
        (&from).write_all(b"bytes").unwrap();
        let output = Output::at(&dir.path().join("to")).unwrap();
        for waiver in [None, Some(Waiver::NotListed)] {
            for (named, size) in [(&b"other"[..], 5), (b"bytes", 4), (b"bytes", 6)] {
                let message = Message { size, waiver, ..message("to", named) };
                let placed = place(&from, &message, &output, "to", &|_| panic!("nothing is told"));
                assert!(placed.is_err(), "{named:?} of {size} bytes, {waiver:?}");
                assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left behind");
            }
        }
    }

    #[test]
    fn a_date_that_no_clock_shows_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        std::fs::write(&from, b"x").unwrap();
        let message = Message { modified: Some(u64::MAX), ..message("to", b"x") };
        place(&File::open(&from).unwrap(), &message, &Output::at(&to).unwrap(), "to", &|_| Ok(())).unwrap();
        assert_eq!(std::fs::read(&to).unwrap(), b"x");
    }

    #[test]
    fn a_child_names_packages_or_what_was_asked_for_and_hides_and_replaces_nothing() {
        let dir = tempfile::tempdir().unwrap();
        for there in ["notes.txt", "zsh-1-1-any.pkg.tar.zst"] {
            std::fs::write(dir.path().join(there), "mine").unwrap();
        }
        std::os::unix::fs::symlink("notes.txt", dir.path().join("link-1-1-any.pkg.tar.zst")).unwrap();
        let is_named = |asked: &str, name: &str| name_in(dir.path(), asked, &message(name, b"")).is_ok();
        for name in ["zlib-1-1-any.pkg.tar.zst", "zlib-1-1-any.pkg.tar.zst.sig", "zsh-1-1-any.pkg.tar.zst"] {
            assert!(is_named("zlib", name), "{name}");
        }
        assert!(is_named("README", "README") && is_named("core.db", "core.db"));
        for (asked, name) in [
            ("zlib", ".bashrc"),
            (".bashrc", ".bashrc"),
            ("zlib", ".zlib-1-1-any.pkg.tar.zst"),
            ("zlib", "authorized_keys"),
            ("README", "Makefile"),
            ("zlib", "PKGBUILD"),
            ("zlib", "x.pkg.tar.zst"),
            ("zlib", "core.db"),
            ("zlib", "../zlib-1-1-any.pkg.tar.zst"),
            ("..", ".."),
            ("notes.txt", "notes.txt"),
            ("link", "link-1-1-any.pkg.tar.zst"),
        ] {
            assert!(!is_named(asked, name), "{asked}: {name}");
        }
    }
}
