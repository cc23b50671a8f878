//! pacman's output about a transaction, and the calling process in `/proc`: any text is read or skipped, and names
//! stay plain.
#![no_main]

use std::os::unix::ffi::OsStrExt as _;

use pkgswarm::lists::pacman::caller::{start_time, words};
use pkgswarm::lists::pacman::queries::{MARK, TransactionPackage, about, bare, coming};
use pkgswarm_fuzz::parts;

pkgswarm_fuzz::fuzz_target!(|data: &[u8]| {
    let [proc, printed] = parts(data);
    let printed = String::from_utf8_lossy(printed);
    for line in printed.lines() {
        assert!(line.starts_with(MARK) || coming(line).is_none());
        let Some(package) = coming(&format!("{MARK}\t{line}")) else { continue };
        assert!(!package.file.as_str().contains('/') && !package.repo.as_str().contains('/'));
        let TransactionPackage { repo, name, version, file, about } = &package;
        let lists = about.iter().flat_map(|about| [&about.depends, &about.provides, &about.conflicts, &about.groups]);
        let lists: String = lists.map(|list| format!("\t{}", list.join(" "))).collect();
        let again = format!("{MARK}\t{repo}\t{name}\t{version}\thttps://m/{file}{lists}");
        assert_eq!(coming(&again).as_ref(), Some(&package));
    }
    for (name, package) in about(&printed) {
        assert!(!name.is_empty());
        let all = [package.depends, package.provides, package.conflicts, package.groups].concat();
        assert!(all.iter().all(|word| bare(word) == word && !word.contains(|c: char| c.is_ascii_whitespace())));
    }

    let arguments = words(proc);
    if !arguments.is_empty() {
        let joined: Vec<u8> = arguments.iter().flat_map(|word| [word.as_bytes(), b"\0"].concat()).collect();
        assert_eq!(joined, proc);
    }
    if let Some(since) = start_time(proc) {
        // A process may have any name, and the name is not taken for fields.
        let fields = "S 1 ".to_owned() + &"0 ".repeat(17);
        let stat = [b"7 (", proc, b") ", fields.as_bytes(), since.to_string().as_bytes(), b" 0\n"].concat();
        assert_eq!(start_time(&stat), Some(since));
    }
});
