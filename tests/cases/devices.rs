//! Outputs that are no files: a device takes the bytes and stays what it is, as with curl.

use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt, symlink};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode};

use crate::support::*;

fn scene() -> (Package, FakeMirror, World) {
    let zlib = Package::new("zlib", 3_000_000);
    let mirror = FakeMirror::serving(&[zlib.file()]);
    let world = World::new().sync_database("core", &database(&[&zlib], Compression::Gzip));
    let world = world.servers("core", &[mirror.repo("core")], &[]);
    (zlib, mirror, world)
}

/// Makes a device like `/dev/null`; none, with a loud message, where this user may not.
fn null(at: &Path) -> bool {
    let made = rustix::fs::mknodat(CWD, at, FileType::CharacterDevice, Mode::from(0o666), rustix::fs::makedev(1, 3));
    let opens = made.is_ok() && {
        std::fs::set_permissions(at, PermissionsExt::from_mode(0o666)).unwrap();
        std::fs::File::options().write(true).open(at).is_ok()
    };
    if !opens {
        eprintln!("SKIPPED, NOT PASSED: no devices can be made here: {made:?}");
    }
    opens
}

#[test]
fn a_device_takes_the_bytes_and_keeps_its_name_and_mode() {
    let (zlib, mirror, world) = scene();
    let device = world.out("null");
    if !null(&device) {
        return;
    }
    let url = mirror.url("core", &zlib.file_name());
    for words in [
        &["xfer", &url, device.to_str().unwrap()][..],
        &["fetch", &zlib.file_name(), "--output", device.to_str().unwrap()],
    ] {
        let run = world.run(words);
        assert_eq!(run.code(), 0, "{words:?}: {}", run.stderr);
        let found = std::fs::symlink_metadata(&device).unwrap();
        assert!(found.file_type().is_char_device(), "{words:?}: it was replaced");
        assert_eq!((found.mode() & 0o7777, found.rdev()), (0o666, rustix::fs::makedev(1, 3)), "{words:?}");
    }
}

#[test]
fn a_link_to_a_device_is_neither_followed_nor_replaced() {
    let (zlib, mirror, world) = scene();
    let link = world.out("link");
    symlink("/dev/null", &link).unwrap();
    let run = world.xfer(&mirror.url("core", &zlib.file_name()), &link);
    assert_eq!(run.code(), 4, "{}", run.stderr);
    assert!(run.stderr.contains("the output path is a link to a device"), "{}", run.stderr);
    assert_eq!(std::fs::read_link(&link).unwrap(), Path::new("/dev/null"));
    assert!(std::fs::metadata("/dev/null").unwrap().file_type().is_char_device());
}
