//! Sniffing of unproven files: it ends quickly, and no web page passes under any name.
#![no_main]

use pkgswarm::base::name::FileName;
use pkgswarm::lists::system::NameKind;
use pkgswarm::machine::lists::read;
use pkgswarm::trust::look::ShapeError;
use pkgswarm_fuzz::{file, parts};

pkgswarm_fuzz::fuzz_target!(|data: &[u8]| {
    let [name, content] = parts(data);
    let Ok(name) = FileName::new(String::from_utf8_lossy(name)) else { return };
    let open = file(content);
    let verdict = read(&name).shape.look(open, content.len() as u64);
    let page = content.trim_ascii_start().to_ascii_lowercase();
    if page.starts_with(b"<html") || page.starts_with(b"<!doctype html") {
        assert!(matches!(verdict, Err(ShapeError::WebPage)));
    }
    if content.is_empty() && read(&name).shape.kind != NameKind::Other {
        assert!(verdict.is_err(), "{name} is never empty");
    }
});
