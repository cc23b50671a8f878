//! The tests' way to install a program before running it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

/// Copies a program, or a script, by another process: while any process has a descriptor for writing, and a
/// neighbour thread's fork inherits ours for a moment, running it fails with ETXTBSY ("Text file busy").
pub fn install(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-f").arg(from).arg(to).status().expect("cp is everywhere");
    assert!(status.success(), "{} can be copied", from.display());
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(0o755)).expect("our own file");
}

/// Installs a script in the same way, through a draft beside it.
pub fn install_script(text: &str, to: &Path) {
    let draft = to.with_extension("draft");
    std::fs::write(&draft, text).expect("a script");
    install(&draft, to);
    std::fs::remove_file(draft).expect("our draft");
}
