//! `pkgswarm cid FILE…`: content ids without a daemon.

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::Path;

use crate::base::error::Error;
use crate::base::name::shown;
use crate::cmd::cli::CidArgs;
use crate::dag::build::build;

/// Runs the command: one line `CID  FILE` for each file, in their order.
pub(crate) fn run(args: &CidArgs) -> anyhow::Result<u8> {
    let mut out = crate::report::out();
    for path in &args.files {
        let failed = |e: io::Error| Error::local(path.display(), format!("cannot be read: {e}"));
        let built = build(open(path).map_err(failed)?).map_err(failed)?;
        let name = path.to_string_lossy();
        if args.json {
            let line = serde_json::json!({
                "file": name, "cid": built.root.to_string(), "size": built.size, "sha256": built.sha256,
            });
            writeln!(out, "{line}")?;
        } else {
            writeln!(out, "{}  {}", built.root, shown(&name))?;
        }
    }
    Ok(0)
}

fn open(path: &Path) -> io::Result<Box<dyn Read>> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdin().lock()));
    }
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::Error::other("is a directory"));
    }
    Ok(Box::new(file))
}
