//! A writer of Haiku's repository files (HPKR), from `docs/develop/packages/FileFormat.rst` alone, and of what is wrong with
//! them.

use std::io::Write;

use pkgswarm::base::digest::Sha256;

/// Unpacked bytes of a chunk.
const CHUNK: usize = 64 << 10;

/// How the chunks are packed, by the number in the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HpkrPacking {
    /// As they are.
    None = 0,
    /// As Haiku writes them.
    Zlib = 1,
    /// As its readers take them too.
    Zstd = 2,
}

/// A package to be listed.
#[derive(Clone, Debug)]
pub struct HpkrPackage {
    pub name: String,
    /// `major`, `minor`, `micro`, `~prerelease`: what is there of them.
    pub version: [Option<String>; 4],
    pub revision: u64,
    pub arch: u64,
    pub sum: String,
    /// A text that is in no other package; not written where it is empty.
    pub description: String,
}

impl HpkrPackage {
    /// Makes a package of the first architecture, version 1.2-3, with the sum of `content`.
    pub fn of(name: &str, content: &[u8]) -> Self {
        Self {
            name: name.to_owned(),
            version: [Some("1".to_owned()), Some("2".to_owned()), None, None],
            revision: 3,
            arch: 0,
            sum: Sha256::of(content).to_string(),
            description: String::new(),
        }
    }
}

/// A file that is being written, with each of its parts open to damage.
#[derive(Clone, Debug)]
pub struct HpkrWriter {
    pub packing: HpkrPacking,
    pub minor_version: u16,
    /// The section of packages: strings and tree.
    pub strings: Vec<String>,
    pub tree: Vec<u8>,
}

impl HpkrWriter {
    /// Writes the list of these packages, but for its last byte.
    pub fn of(packages: &[HpkrPackage]) -> Self {
        let mut out = Self { packing: HpkrPacking::Zlib, minor_version: 1, strings: Vec::new(), tree: Vec::new() };
        for package in packages {
            out.text(54, &package.name, true);
            out.text(15, &package.name, false);
            // Strings that are used once stand in the tree; those of Haiku's writer are in the table.
            out.inline(16, "what it is, in a line");
            if !package.description.is_empty() {
                out.inline(17, &package.description);
            }
            out.number(21, package.arch, 0, false);
            out.version(package);
            out.text(28, &format!("cmd:{}", package.name), true);
            // The version of what it provides is not its own.
            out.text(22, "99", true);
            out.text(23, "98", false);
            out.end();
            out.end();
            out.text(35, &package.sum, false);
            out.end();
        }
        out
    }

    fn version(&mut self, package: &HpkrPackage) {
        let [Some(major), rest @ ..] = &package.version else { return };
        self.text(22, major, true);
        for (id, part) in [23, 24, 36].into_iter().zip(rest) {
            if let Some(part) = part {
                self.text(id, part, false);
            }
        }
        if package.revision > 0 {
            self.number(25, package.revision, 3, false);
        }
        self.end();
    }

    /// Adds an attribute whose text is in the table of strings.
    pub fn text(&mut self, id: u64, text: &str, has_children: bool) {
        let found = self.strings.iter().position(|string| string == text);
        let index = found.unwrap_or_else(|| {
            self.strings.push(text.to_owned());
            self.strings.len() - 1
        });
        self.tag(id, 3, has_children, 1);
        self.leb(index as u64);
    }

    /// Adds an attribute whose text stands in the tree.
    pub fn inline(&mut self, id: u64, text: &str) {
        self.tag(id, 3, false, 0);
        self.tree.extend(text.bytes().chain([0]));
    }

    /// Adds a number of `1 << encoding` bytes.
    pub fn number(&mut self, id: u64, number: u64, encoding: u64, has_children: bool) {
        self.tag(id, 2, has_children, encoding);
        self.tree.extend(&number.to_be_bytes()[8 - (1 << encoding)..]);
    }

    /// Adds the tag of an attribute.
    pub fn tag(&mut self, id: u64, kind: u64, has_children: bool, encoding: u64) {
        self.leb((id | kind << 7 | u64::from(has_children) << 10 | encoding << 11) + 1);
    }

    /// Ends a level.
    pub fn end(&mut self) {
        self.tree.push(0);
    }

    fn leb(&mut self, mut number: u64) {
        while number > 0x7f {
            self.tree.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.tree.push(number as u8);
    }

    /// Returns the whole file.
    pub fn file(&self) -> Vec<u8> {
        let mut strings: Vec<u8> = self.strings.iter().flat_map(|text| text.bytes().chain([0])).collect();
        strings.push(0);
        let mut section = strings.clone();
        section.extend(&self.tree);
        section.push(0);
        // The description before it is not read; it has another length each time.
        let info = vec![b'i'; 37 + section.len() % 1000];
        let unpacked = [&info[..], &section].concat();
        let heap = packed(self.packing, &unpacked);
        let mut out = Vec::new();
        out.extend(b"hpkr");
        out.extend(72_u16.to_be_bytes());
        out.extend(2_u16.to_be_bytes());
        out.extend((72 + heap.len() as u64).to_be_bytes());
        out.extend(self.minor_version.to_be_bytes());
        out.extend((self.packing as u16).to_be_bytes());
        out.extend((CHUNK as u32).to_be_bytes());
        out.extend((heap.len() as u64).to_be_bytes());
        out.extend((unpacked.len() as u64).to_be_bytes());
        out.extend((info.len() as u32).to_be_bytes());
        out.extend(0_u32.to_be_bytes());
        out.extend((section.len() as u64).to_be_bytes());
        out.extend((strings.len() as u64).to_be_bytes());
        out.extend((self.strings.len() as u64).to_be_bytes());
        out.extend(heap);
        out
    }
}

/// Packs a heap: chunk by chunk, each as it is where that is not larger, and then their sizes.
fn packed(packing: HpkrPacking, unpacked: &[u8]) -> Vec<u8> {
    if packing == HpkrPacking::None {
        return unpacked.to_vec();
    }
    let (mut heap, mut sizes) = (Vec::new(), Vec::new());
    for chunk in unpacked.chunks(CHUNK) {
        let small = match packing {
            HpkrPacking::Zstd => zstd::bulk::compress(chunk, 3).unwrap(),
            _ => {
                let mut out = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
                out.write_all(chunk).unwrap();
                out.finish().unwrap()
            }
        };
        let stored = if small.len() < chunk.len() { &small[..] } else { chunk };
        sizes.extend((stored.len() as u16).wrapping_sub(1).to_be_bytes());
        heap.extend(stored);
    }
    sizes.truncate(sizes.len() - 2);
    heap.extend(sizes);
    heap
}
