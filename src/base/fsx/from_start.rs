//! Reading a file that others read as well.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// A reader of a file from its start, independent of the file's own position.
pub(crate) struct FromStart<'f>(&'f File, u64);

impl<'f> FromStart<'f> {
    /// Begins at the first byte of `file`.
    pub(crate) fn of(file: &'f File) -> Self {
        Self(file, 0)
    }
}

impl io::Read for FromStart<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.0.read_at(buffer, self.1)?;
        self.1 += got as u64;
        Ok(got)
    }
}
