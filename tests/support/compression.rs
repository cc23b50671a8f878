//! The compressions of sync databases.

/// The compressions that Arch and its relatives use for databases.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Compression {
    None,
    Gzip,
    Zstd,
    Xz,
}
