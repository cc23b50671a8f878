//! The command line that pacman uses, read without building the parser of all others.
//!
//! pacman starts `pkgswarm xfer URL FILE` for every file and every signature, and building clap's description of
//! all commands took a sixth of such a call's time before the small program answered most of them. Calls for files
//! that are not on this machine, and root's calls, still come this way. A command line of any other form, a flag
//! or one word more, goes to clap.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::ffi::OsString;
use std::path::PathBuf;

use clap::FromArgMatches as _;

use super::{Cli, Command, XferArgs, grammar};
use crate::report::columns;

/// Columns of help where neither a terminal nor COLUMNS tells, as clap has it, and most columns.
const HELP: usize = 100;

/// Returns the columns for the list of commands. Help is for standard output, and for standard error without a command.
fn columns_of_help() -> usize {
    let told = || std::env::var("COLUMNS").ok()?.parse().ok().filter(|columns| *columns > 0);
    let columns = columns::columns(std::io::stdout()).or_else(|| columns::columns(std::io::stderr())).or_else(told);
    columns.map_or(HELP, |columns: usize| columns.min(HELP))
}

impl Cli {
    /// Reads a command line, the program's name first.
    ///
    /// # Errors
    /// Those of `clap`, help and version included.
    pub fn read(words: &[OsString]) -> Result<Self, clap::Error> {
        match xfer(words) {
            Some(args) => {
                Ok(Self { set: Vec::new(), quiet: false, verbose: false, help: None, command: Command::Xfer(args) })
            }
            None => {
                let matches = grammar(columns_of_help()).try_get_matches_from(words)?;
                Self::from_arg_matches(&matches)
            }
        }
    }
}

fn xfer(words: &[OsString]) -> Option<XferArgs> {
    let [_, command, url, output] = words else { return None };
    let is_plain = |word: &OsString| !word.is_empty() && !word.as_encoded_bytes().starts_with(b"-");
    let is_xfer = command == "xfer" && is_plain(url) && is_plain(output);
    is_xfer.then(|| Some(XferArgs { url: url.to_str()?.to_owned(), output: PathBuf::from(output) }))?
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    fn words(line: &str) -> Vec<OsString> {
        line.split('|').map(OsString::from).collect()
    }

    #[test]
    fn what_is_read_quickly_is_what_clap_reads() {
        for line in ["pkgswarm|xfer|http://m/a b|/x y", "/usr/bin/pkgswarm|xfer|xfer|xfer", "p|xfer|ü|%o"] {
            let quick = Cli::read(&words(line)).unwrap();
            assert!(xfer(&words(line)).is_some(), "{line}");
            assert_eq!(format!("{quick:?}"), format!("{:?}", Cli::try_parse_from(words(line)).unwrap()));
        }
    }

    #[test]
    fn everything_else_is_left_to_clap() {
        for line in [
            "p",
            "p|xfer",
            "p|xfer|u",
            "p|xfer|--help|o",
            "p|xfer|u|-h",
            "p|xfer|u|o|more",
            "p|xfer||o",
            "p|fetch|u|o",
            "p|--set=a=b|xfer|u|o",
            "p|xfer|--|-u|o",
        ] {
            assert!(xfer(&words(line)).is_none(), "{line}");
        }
    }
}
