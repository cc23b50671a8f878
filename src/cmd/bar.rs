//! One bar over all files of a command that fetches many.

use std::io;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::report::columns;

/// The bar; hidden where none is wanted.
pub(super) struct FilesBar {
    bar: ProgressBar,
    label: String,
}

impl FilesBar {
    /// Makes one that begins with `label`.
    pub(super) fn new(is_wanted: bool, label: &str) -> Self {
        let target = if is_wanted { ProgressDrawTarget::stderr_with_hz(8) } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        let template = match columns::columns(io::stderr()) {
            Some(..80) => "{prefix} {bytes}/{total_bytes} [{wide_bar}] {percent}%",
            _ => "{prefix} {bytes}/{total_bytes} {bytes_per_sec} {eta} [{wide_bar}] {percent}%",
        };
        bar.set_style(
            ProgressStyle::with_template(template).expect("the template is fixed and valid").progress_chars("#>-"),
        );
        Self { bar, label: label.to_owned() }
    }

    /// Shows so many of all files, and of all bytes.
    pub(super) fn at(&self, (files, of_files): (usize, usize), (bytes, of_bytes): (u64, u64)) {
        self.bar.set_length(of_bytes);
        self.bar.set_prefix(format!("{} {files}/{of_files}", self.label));
        self.bar.set_position(bytes);
    }

    /// Takes it off the terminal.
    pub(super) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
