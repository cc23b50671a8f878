//! Links gcc's unwinder into the programs, where it is there as an archive. As a library of its own it costs each call the
//! time to load it, 5 % of one that finds its file here (`tests/bench --case store-hit`).

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|found| found == value);
    let host = std::env::var("HOST").unwrap_or_default();
    if is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu") && is("TARGET", &host) && has_archive() {
        println!("cargo::rustc-link-lib=static:-bundle=gcc_eh");
    }
}

/// The compiler answers with the path of the archive, or with its bare name where it has none.
fn has_archive() -> bool {
    let asked = Command::new("cc").arg("-print-file-name=libgcc_eh.a").output();
    asked.is_ok_and(|asked| Path::new(String::from_utf8_lossy(&asked.stdout).trim()).is_absolute())
}
