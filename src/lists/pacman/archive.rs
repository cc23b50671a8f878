//! A database file as a stream of plain tar bytes: compression told by its first bytes, every size bounded.
//!
//! A database comes from a mirror and is read before it is proven, so it may be a bomb, cut off, or a captive
//! portal's page. libalpm itself reads everything that libarchive does; here only the formats that `repo-add`
//! makes and Arch and its relatives publish: gzip, zstd, xz and plain tar.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::rc::Rc;

use super::package::{DatabaseError, Limits};

/// Memory limit of xz and zstd: their windows of at most 128 MiB, and their other buffers.
const XZ_MEMORY: u64 = 160 << 20;
const ZSTD_WINDOW_LOG: u32 = 27;
/// Bytes of the beginning that tell every format, and show that it is tar (`ustar` at byte 257).
const HEAD: usize = 512;

/// The unpacked bytes of a database.
pub(super) struct UnpackedDatabase<'a> {
    inner: Bounded<Box<dyn Read + 'a>>,
    over: Rc<Cell<Option<DatabaseError>>>,
    plain: bool,
    zeros_at_end: u64,
}

impl<'a> UnpackedDatabase<'a> {
    /// Unpacks `from` by the format that its first bytes tell.
    pub(super) fn new(mut from: impl Read + 'a, limits: &Limits) -> Result<Self, DatabaseError> {
        let mut head = Vec::with_capacity(HEAD);
        (&mut from).take(HEAD as u64).read_to_end(&mut head).map_err(DatabaseError::Read)?;
        let format = Format::of(&head)?;
        let over = Rc::new(Cell::new(None));
        let packed = Bounded {
            from: Cursor::new(head).chain(from),
            left: limits.packed,
            over: over.clone(),
            what: || DatabaseError::TooLarge("packed"),
        };
        let buffered = BufReader::with_capacity(1 << 16, packed);
        let from: Box<dyn Read + 'a> = match format {
            Format::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(buffered)),
            Format::Zstd => Box::new(zstd_decoder(buffered).map_err(DatabaseError::Read)?),
            Format::Xz => Box::new(xz_decoder(buffered)?),
            Format::Tar => Box::new(buffered),
        };
        let what = || DatabaseError::TooLarge("unpacked");
        let inner = Bounded { from, left: limits.unpacked, over: over.clone(), what };
        Ok(Self { inner, over, plain: matches!(format, Format::Tar), zeros_at_end: 0 })
    }

    /// Reads to the end, so that the checksums at the end of the compressed forms are compared as well.
    ///
    /// Plain tar has none; there the zero block that ends an archive shows that it is whole.
    pub(super) fn finish(&mut self) -> Result<(), DatabaseError> {
        let mut rest = [0; 1 << 14];
        loop {
            match self.read(&mut rest) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => return Err(self.explain(error)),
            }
        }
        if self.plain && self.zeros_at_end < 512 {
            return Err(DatabaseError::CutOff);
        }
        Ok(())
    }

    /// Finds the cause of an error that a decoder wrapped.
    pub(super) fn explain(&self, error: io::Error) -> DatabaseError {
        explain(&self.over, error)
    }

    /// Works as [`explain`](Self::explain), for code that borrows the reader itself.
    pub(super) fn explainer(&self) -> impl Fn(io::Error) -> DatabaseError + use<> {
        let over = self.over.clone();
        move |error| explain(&over, error)
    }
}

impl Read for UnpackedDatabase<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        if self.plain {
            let zeros = buf[..n].iter().rev().take_while(|byte| **byte == 0).count();
            self.zeros_at_end = if zeros == n { self.zeros_at_end + n as u64 } else { zeros as u64 };
        }
        Ok(n)
    }
}

fn explain(over: &Cell<Option<DatabaseError>>, error: io::Error) -> DatabaseError {
    match over.take() {
        Some(limit) => limit,
        None if error.kind() == io::ErrorKind::UnexpectedEof => DatabaseError::CutOff,
        None if is_memory(&error) => DatabaseError::TooLarge("unpacking"),
        None => DatabaseError::Read(error),
    }
}

/// Returns true when unpacking needs more memory than it may have.
fn is_memory(error: &io::Error) -> bool {
    let of_xz = error.get_ref().and_then(|cause| cause.downcast_ref());
    matches!(of_xz, Some(liblzma::stream::Error::MemLimit))
}

enum Format {
    Gzip,
    Zstd,
    Xz,
    Tar,
}

impl Format {
    fn of(head: &[u8]) -> Result<Self, DatabaseError> {
        let is_tar = head.len() == HEAD && (head[257..262] == *b"ustar" || head.iter().all(|byte| *byte == 0));
        match head {
            [] => Err(DatabaseError::Empty),
            [0x1f, 0x8b, ..] => Ok(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Ok(Self::Zstd),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Ok(Self::Xz),
            _ if is_tar => Ok(Self::Tar),
            [b'B', b'Z', b'h', ..] => Err(DatabaseError::Unsupported("bzip2")),
            [0x04, 0x22, 0x4d, 0x18, ..] => Err(DatabaseError::Unsupported("lz4")),
            [0x1f, 0x9d, ..] => Err(DatabaseError::Unsupported("compress")),
            [b'L', b'Z', b'I', b'P', ..] => Err(DatabaseError::Unsupported("lzip")),
            [b'P', b'K', 3, 4, ..] => Err(DatabaseError::Unsupported("zip")),
            _ if head.trim_ascii_start().starts_with(b"<") => Err(DatabaseError::WebPage),
            _ => Err(DatabaseError::NotADatabase),
        }
    }
}

fn zstd_decoder<'a, R: BufRead + 'a>(from: R) -> io::Result<impl Read + 'a> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(from)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG)?;
    Ok(decoder)
}

fn xz_decoder<'a, R: BufRead + 'a>(from: R) -> Result<impl Read + 'a, DatabaseError> {
    let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, liblzma::stream::CONCATENATED);
    let stream = stream.map_err(|error| DatabaseError::Read(error.into()))?;
    Ok(liblzma::bufread::XzDecoder::new_stream(from, stream))
}

/// A reader that ends with an error, not with an early end of file, when there is more than allowed.
struct Bounded<R> {
    from: R,
    left: u64,
    over: Rc<Cell<Option<DatabaseError>>>,
    what: fn() -> DatabaseError,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.from.read(buf)?;
        match self.left.checked_sub(n as u64) {
            Some(left) => self.left = left,
            None => {
                // Decoders wrap errors in their own; hence the separate note.
                self.over.set(Some((self.what)()));
                return Err(io::Error::other("larger than allowed"));
            }
        }
        Ok(n)
    }
}
