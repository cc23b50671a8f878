//! Links into the programs what each call would otherwise load: gcc's unwinder into all of them, and for release the C
//! library into `pkgswarm`, the small one (`doc/decisions/0003-two-programs.md` has the figures).
//!
//! Both only where the archives are there. A static `pkgswarm` asks the C library for no names of users or hosts, which
//! alone would need its shared parts (`src/base/users.rs` reads passwd(5) itself).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// A program as rustc links it, and the archives in place of the shared libraries that it names: `-lc` comes after
/// `-Bdynamic`, but a linker looks in the directories that it was given before those of the system.
const LIBRARIES: [(&str, &[&str]); 7] = [
    ("c", &["libc.a", "libgcc_eh.a", "libgcc.a"]),
    ("m", &["libm.a"]),
    ("rt", &["librt.a"]),
    ("pthread", &["libpthread.a"]),
    ("util", &["libutil.a"]),
    ("dl", &["libdl.a"]),
    ("gcc_s", &["libgcc_eh.a"]),
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|found| found == value);
    let host = env::var("HOST").unwrap_or_default();
    if !is("CARGO_CFG_TARGET_OS", "linux") || !is("CARGO_CFG_TARGET_ENV", "gnu") || !is("TARGET", &host) {
        return;
    }
    if archive("libgcc_eh.a").is_some() {
        println!("cargo::rustc-link-lib=static:-bundle=gcc_eh");
    }
    let is_static = env::var("CARGO_CFG_TARGET_FEATURE").is_ok_and(|on| on.split(',').any(|it| it == "crt-static"));
    if is("PROFILE", "release") && !is_static {
        let flags = static_flags(Path::new(&env::var_os("OUT_DIR").expect("set by cargo"))).unwrap_or_default();
        flags.iter().for_each(|flag| println!("cargo::rustc-link-arg-bin=pkgswarm={flag}"));
        // The path of some has the version of the compiler in it.
        let archives = LIBRARIES.iter().flat_map(|(_, parts)| parts.iter()).filter_map(|part| archive(part));
        archives.for_each(|path| println!("cargo::rerun-if-changed={}", path.display()));
    }
}

/// Returns the path of an archive of the C compiler's; it answers with the bare name where it has none.
fn archive(name: &str) -> Option<PathBuf> {
    let asked = Command::new("cc").arg(format!("-print-file-name={name}")).output().ok()?;
    let path = PathBuf::from(String::from_utf8(asked.stdout).ok()?.trim());
    path.is_absolute().then_some(path)
}

/// Returns the linker's arguments for a static program, if one that was linked so runs.
fn static_flags(out: &Path) -> Option<Vec<String>> {
    let dir = out.join("static");
    fs::create_dir_all(&dir).ok()?;
    for (library, parts) in LIBRARIES {
        let parts: Option<Vec<String>> =
            parts.iter().map(|part| Some(format!("\"{}\"", archive(part)?.display()))).collect();
        // A script of the linker: it reads one in place of an archive.
        fs::write(dir.join(format!("lib{library}.a")), format!("GROUP ( {} )\n", parts?.join(" "))).ok()?;
    }
    let flags = vec![format!("-L{}", dir.display()), "-static-pie".to_owned()];
    let (source, program) = (dir.join("try.rs"), dir.join("try"));
    let text = "fn main() { std::thread::spawn(|| println!(\"{:?}\", std::env::args())).join().unwrap() }\n";
    fs::write(&source, text).ok()?;
    let mut rustc = Command::new(env::var_os("RUSTC")?);
    rustc.arg("--edition=2024").arg(&source).arg("-o").arg(&program);
    rustc.args(env::var("CARGO_ENCODED_RUSTFLAGS").ok()?.split('\x1f').filter(|flag| !flag.is_empty()));
    rustc.args(env::var("RUSTC_LINKER").map(|linker| format!("-Clinker={linker}")));
    rustc.args(flags.iter().map(|flag| format!("-Clink-arg={flag}")));
    let is_linked = rustc.output().is_ok_and(|ended| ended.status.success());
    let runs = || Command::new(&program).output().is_ok_and(|ended| ended.status.success() && !ended.stdout.is_empty());
    (is_linked && runs()).then_some(flags)
}
