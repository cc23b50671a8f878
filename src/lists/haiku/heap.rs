//! The heap of an HPKR file: chunks of 64 KiB, packed one by one, read in order with one chunk in memory.

use std::io::{self, Read, Seek, SeekFrom};

use super::header::{HpkrError, HpkrHeader, Packing};

/// Unpacked bytes of every chunk but the last. The header names a size too; Haiku's reader ignores it
/// (`PackageFileHeapAccessorBase::kChunkSize`).
const UNPACKED: usize = 64 << 10;

/// Reads the unpacked bytes of a heap from some offset to its end.
pub(super) struct HeapReader<R> {
    from: R,
    packing: Packing,
    /// Packed sizes of the chunks that are not unpacked yet, in reverse.
    rest: Vec<u32>,
    /// Unpacked bytes in them.
    left: u64,
    chunk: Vec<u8>,
    /// Bytes of `chunk` that were read.
    read: usize,
}

impl<R: Read + Seek> HeapReader<R> {
    /// Opens the heap of the file `from` at `offset` of its unpacked bytes.
    pub(super) fn at(mut from: R, header: &HpkrHeader, offset: u64) -> Result<Self, HpkrError> {
        let sizes = sizes(&mut from, header)?;
        let (first, within) = ((offset / UNPACKED as u64) as usize, (offset % UNPACKED as u64) as usize);
        let skipped: u64 = sizes.iter().take(first).map(|size| u64::from(*size)).sum();
        from.seek(SeekFrom::Start(header.size + skipped))?;
        let rest = sizes.into_iter().skip(first).rev().collect();
        let left = header.unpacked - (first as u64 * UNPACKED as u64).min(header.unpacked);
        let mut heap = Self { from, packing: header.packing, rest, left, chunk: Vec::new(), read: 0 };
        if within > 0 {
            heap.next_chunk()?;
            heap.read = within.min(heap.chunk.len());
        }
        Ok(heap)
    }

    /// Unpacks the next chunk; leaves none at the end.
    fn next_chunk(&mut self) -> Result<(), HpkrError> {
        self.read = 0;
        let Some(packed) = self.rest.pop() else {
            self.chunk.clear();
            return Ok(());
        };
        let size = self.left.min(UNPACKED as u64) as usize;
        let mut bytes = vec![0; packed as usize];
        self.from.read_exact(&mut bytes)?;
        self.chunk = if bytes.len() == size { bytes } else { unpacked(self.packing, &bytes, size)? };
        self.left -= size as u64;
        Ok(())
    }
}

impl<R: Read + Seek> Read for HeapReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.read == self.chunk.len() {
            self.next_chunk().map_err(HpkrError::within)?;
        }
        let given = buf.len().min(self.chunk.len() - self.read);
        buf[..given].copy_from_slice(&self.chunk[self.read..self.read + given]);
        self.read += given;
        Ok(given)
    }
}

/// Returns the packed size of every chunk.
///
/// The last bytes of a packed heap are the sizes of all chunks but the last, each less one.
fn sizes(from: &mut (impl Read + Seek), header: &HpkrHeader) -> Result<Vec<u32>, HpkrError> {
    let wrong = || HpkrError::malformed("the sizes of its chunks are not possible");
    let chunks = header.unpacked.div_ceil(UNPACKED as u64) as usize;
    if chunks == 0 {
        return if header.packed == 0 { Ok(Vec::new()) } else { Err(wrong()) };
    }
    let last = header.unpacked - ((chunks - 1) * UNPACKED) as u64;
    if header.packing == Packing::None {
        let mut sizes = vec![UNPACKED as u32; chunks - 1];
        sizes.push(last as u32);
        return Ok(sizes);
    }
    let table = (chunks as u64 - 1) * 2;
    let packed = header.packed.checked_sub(table).ok_or_else(wrong)?;
    from.seek(SeekFrom::Start(header.size + packed))?;
    let mut bytes = vec![0; table as usize];
    from.read_exact(&mut bytes)?;
    let of = |size: &[u8]| u32::from(u16::from_be_bytes([size[0], size[1]])) + 1;
    let mut sizes: Vec<u32> = bytes.chunks_exact(2).map(of).collect();
    let before: u64 = sizes.iter().map(|size| u64::from(*size)).sum();
    match packed.checked_sub(before) {
        Some(size) if (1..=last).contains(&size) => sizes.push(size as u32),
        _ => return Err(wrong()),
    }
    Ok(sizes)
}

/// Unpacks one chunk, to exactly `size` bytes.
fn unpacked(packing: Packing, packed: &[u8], size: usize) -> Result<Vec<u8>, HpkrError> {
    let wrong = || HpkrError::malformed("a chunk of its heap cannot be unpacked");
    let mut out = Vec::with_capacity(size);
    match packing {
        Packing::None => return Err(wrong()),
        Packing::Zlib => {
            let mut state = flate2::Decompress::new(true);
            let ended = state.decompress_vec(packed, &mut out, flate2::FlushDecompress::Finish).map_err(|_| wrong())?;
            if ended != flate2::Status::StreamEnd || state.total_in() != packed.len() as u64 {
                return Err(wrong());
            }
        }
        Packing::Zstd => {
            let mut state = zstd::bulk::Decompressor::new().map_err(HpkrError::Read)?;
            state.decompress_to_buffer(packed, &mut out).map_err(|_| wrong())?;
        }
    }
    if out.len() == size { Ok(out) } else { Err(wrong()) }
}
