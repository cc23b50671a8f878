//! Bitswap 1.2 messages: wants of peers, answers about our blocks, and blocks, read and written with limits.
//!
//! Source: `specs:src/bitswap-protocol.md`, section "Bitswap 1.2.0", message.proto. Bytes come from strangers, so the
//! reader keeps only what is used: digests of blocks, not the CIDs that a peer claims for them.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use bytes::Bytes;

use crate::base::cid::Cid;
use crate::base::digest::Sha256;
use crate::base::protobuf::{self, Field, Fields, ProtobufError, ProtobufWriter};
use crate::base::size::BLOCK_MOST;

/// Longest message in bytes: 4 MiB (`specs:src/bitswap-protocol.md`, "Implementation Details": blocks of 2 MiB, messages of
/// 4 MiB). Kubo resets a stream on which a longer one comes.
pub(crate) const MOST: usize = 4 << 20;

/// Most bytes in transit at a time of messages from a peer of which no block is wanted: a wantlist of 20,000
/// entries takes 880 KB. Origin: chosen by us.
pub(crate) const MOST_UNASKED: usize = 1 << 20;

/// Longest CID that is kept, in bytes. sha2-256 takes 36; a longer one is always answered with "no such block".
const CID_MOST: usize = 128;

/// Most entries and presences of one message. Kubo sends as many as make 2 MiB (boxo v0.42.1,
/// bitswap/client/internal/messagequeue). Origin: chosen by us.
const ENTRIES_MOST: usize = 24_576;

/// The kind of a want.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WantKind {
    /// The block itself.
    Block,
    /// A question whether the peer has the block.
    Have,
    /// The end of an earlier want.
    Cancel,
}

/// One entry of a wantlist.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WantEntry {
    /// The CID as the peer wrote it: the answer repeats it.
    pub cid: Bytes,
    /// The kind of want.
    pub ask: WantKind,
    /// True if an answer is expected when the block is absent.
    pub(crate) tell_absence: bool,
}

impl WantEntry {
    /// Makes a want for `cid` that asks to be told of absence.
    pub(crate) fn new(cid: Cid, ask: WantKind) -> Self {
        Self { cid: cid.to_bytes().into(), ask, tell_absence: ask != WantKind::Cancel }
    }

    /// Returns the digest of the wanted block, if files here can consist of such a block.
    pub(crate) fn digest(&self) -> Option<Sha256> {
        Cid::from_bytes(&self.cid).ok().map(|cid| cid.digest())
    }
}

/// A decoded message.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct BitswapMessage {
    /// True if the wants replace all former ones.
    pub(crate) full: bool,
    /// Wants of the peer, and ends of wants.
    pub wants: Vec<WantEntry>,
    /// Blocks, unproven; parts of the message's own buffer.
    pub blocks: Vec<Bytes>,
    /// By digest: true if the peer has the block.
    pub presences: Vec<(Sha256, bool)>,
}

/// The reason why bytes are not a message. The stream that they came on cannot be used any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Not protocol buffers, or a field of another type.
    #[error("{0}")]
    Protobuf(#[from] ProtobufError),
    /// A block longer than the protocol allows.
    #[error("a block of {0} bytes")]
    LongBlock(usize),
    /// More entries than a peer has reason to send.
    #[error("more than {ENTRIES_MOST} entries")]
    TooMany,
}

impl BitswapMessage {
    /// Reads a message of at most [`MOST`] bytes. Fields and CIDs of unknown kinds are skipped, so that the protocol
    /// can grow.
    ///
    /// # Errors
    /// [`MessageError`]; the message is discarded.
    pub fn read(bytes: &Bytes) -> Result<Self, MessageError> {
        let mut message = Self::default();
        for field in Fields::of(bytes) {
            let field = field?;
            match field.number {
                1 => message.read_wantlist(field.bytes()?)?,
                3 => message.read_block(bytes, field.bytes()?)?,
                4 => message.read_presence(field.bytes()?)?,
                _ => {}
            }
            if message.wants.len() + message.presences.len() + message.blocks.len() > ENTRIES_MOST {
                return Err(MessageError::TooMany);
            }
        }
        Ok(message)
    }

    fn read_wantlist(&mut self, list: &[u8]) -> Result<(), MessageError> {
        for field in Fields::of(list) {
            let field = field?;
            match field.number {
                1 => self.wants.extend(read_entry(field)?),
                2 => self.full = field.varint()? != 0,
                _ => {}
            }
            if self.wants.len() > ENTRIES_MOST {
                return Err(MessageError::TooMany);
            }
        }
        Ok(())
    }

    fn read_block(&mut self, whole: &Bytes, payload: &[u8]) -> Result<(), MessageError> {
        // The prefix (1) tells the CID's form; only the digest matters here.
        for field in Fields::of(payload) {
            let field = field?;
            if field.number == 2 {
                let block = field.bytes()?;
                if block.len() > BLOCK_MOST {
                    return Err(MessageError::LongBlock(block.len()));
                }
                self.blocks.push(whole.slice_ref(block));
            }
        }
        Ok(())
    }

    fn read_presence(&mut self, presence: &[u8]) -> Result<(), MessageError> {
        let (mut cid, mut kind) = (None, 0);
        for field in Fields::of(presence) {
            let field = field?;
            match field.number {
                1 => cid = Cid::from_bytes(field.bytes()?).ok(),
                2 => kind = field.varint()?,
                _ => {}
            }
        }
        self.presences.extend(cid.filter(|_| kind <= 1).map(|cid| (cid.digest(), kind == 0)));
        Ok(())
    }
}

/// Reads one entry; none when its CID is longer than any that is served.
fn read_entry(field: Field<'_>) -> Result<Option<WantEntry>, MessageError> {
    let (mut cid, mut cancel, mut kind, mut tell_absence) = (Bytes::new(), false, 0, false);
    for field in Fields::of(field.bytes()?) {
        let field = field?;
        match field.number {
            // A copy: a few bytes must not keep a message of megabytes alive.
            1 if field.bytes()?.len() <= CID_MOST => cid = Bytes::copy_from_slice(field.bytes()?),
            3 => cancel = field.varint()? != 0,
            4 => kind = field.varint()?,
            5 => tell_absence = field.varint()? != 0,
            _ => {}
        }
    }
    let ask = match (cancel, kind) {
        (true, _) => WantKind::Cancel,
        (false, 0) => WantKind::Block,
        (false, _) => WantKind::Have,
    };
    Ok((!cid.is_empty()).then_some(WantEntry { cid, ask, tell_absence }))
}

/// A message being written.
#[derive(Default)]
pub struct Draft {
    wants: ProtobufWriter,
    has_wants: bool,
    rest: ProtobufWriter,
    len: usize,
}

impl Draft {
    /// True while the message is empty.
    pub(crate) fn is_empty(&self) -> bool {
        !self.has_wants && self.len == 0
    }

    /// Counts the bytes of blocks and answers so far.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Adds an entry to the wantlist.
    pub fn want(&mut self, want: &WantEntry) {
        let mut entry = ProtobufWriter::with_capacity(want.cid.len() + 12);
        // Kubo serves entries of priority 0 last; ours are all alike.
        entry.bytes(1, &want.cid).varint(2, 1);
        match want.ask {
            WantKind::Block => {}
            WantKind::Have => drop(entry.varint(4, 1)),
            WantKind::Cancel => drop(entry.varint(3, 1)),
        }
        if want.tell_absence {
            entry.varint(5, 1);
        }
        self.wants.bytes(1, &entry.finish());
        self.has_wants = true;
    }

    /// Adds a block that is the answer to `want`.
    pub(crate) fn block(&mut self, want: &WantEntry, block: &[u8]) {
        // CIDv1: version, codec, hash and its length; CIDv0: hash and its length.
        let prefix = &want.cid[..want.cid.len().saturating_sub(32)];
        let mut payload = ProtobufWriter::with_capacity(block.len() + 16);
        payload.bytes(1, prefix).bytes(2, block);
        self.rest.bytes(3, &payload.finish());
        self.len += block.len() + prefix.len();
    }

    /// Adds the answer whether the block of `want` is here.
    pub(crate) fn presence(&mut self, want: &WantEntry, is_here: bool) {
        let mut presence = ProtobufWriter::with_capacity(want.cid.len() + 4);
        presence.bytes(1, &want.cid);
        if !is_here {
            presence.varint(2, 1);
        }
        self.rest.bytes(4, &presence.finish());
        self.len += want.cid.len() + 4;
    }

    /// Returns the message with its length before it, ready for a stream.
    pub fn finish(mut self) -> Vec<u8> {
        let mut body = ProtobufWriter::default();
        if self.has_wants {
            body.bytes(1, &self.wants.finish());
        }
        let (head, rest) = (body.finish(), self.rest.finish());
        let len = head.len() + rest.len();
        let mut out = Vec::with_capacity(len + 5);
        protobuf::push_varint(&mut out, len as u64);
        out.extend_from_slice(&head);
        out.extend_from_slice(&rest);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cid(of: &[u8]) -> Cid {
        Cid::raw(Sha256::of(of))
    }

    /// Returns the message without its length.
    fn sent(draft: Draft) -> Bytes {
        let bytes = Bytes::from(draft.finish());
        let mut rest = &bytes[..];
        let len = protobuf::varint(&mut rest).unwrap();
        assert_eq!(len, rest.len() as u64);
        bytes.slice_ref(rest)
    }

    #[test]
    fn what_is_written_is_read_back() {
        let wants = [
            WantEntry::new(cid(b"a"), WantKind::Block),
            WantEntry::new(cid(b"b"), WantKind::Have),
            WantEntry::new(cid(b"c"), WantKind::Cancel),
        ];
        let mut draft = Draft::default();
        assert!(draft.is_empty());
        wants.iter().for_each(|want| draft.want(want));
        draft.block(&wants[0], b"a");
        draft.presence(&wants[1], true);
        draft.presence(&wants[2], false);
        let read = BitswapMessage::read(&sent(draft)).unwrap();
        assert_eq!(read.wants, wants);
        assert_eq!(read.blocks, [Bytes::from_static(b"a")]);
        assert_eq!(read.presences, [(Sha256::of(b"b"), true), (Sha256::of(b"c"), false)]);
        assert!(!read.full);
    }

    #[test]
    fn a_block_carries_the_prefix_of_the_cid_it_was_asked_by() {
        let mut draft = Draft::default();
        draft.block(&WantEntry::new(cid(b"a"), WantKind::Block), b"a");
        // Field 3 of the message: 1 = 0x01 0x55 0x12 0x20, 2 = the block.
        assert_eq!(&sent(draft)[..], b"\x1a\x09\x0a\x04\x01\x55\x12\x20\x12\x01a");
    }

    #[test]
    fn blocks_and_lists_beyond_the_limits_are_refused() {
        let block = vec![0; BLOCK_MOST + 1];
        let mut draft = Draft::default();
        draft.block(&WantEntry::new(cid(b"a"), WantKind::Block), &block);
        assert_eq!(BitswapMessage::read(&sent(draft)), Err(MessageError::LongBlock(BLOCK_MOST + 1)));
        let mut draft = Draft::default();
        (0..=ENTRIES_MOST).for_each(|_| draft.want(&WantEntry::new(cid(b"a"), WantKind::Have)));
        assert_eq!(BitswapMessage::read(&sent(draft)), Err(MessageError::TooMany));
    }

    #[test]
    fn a_cid_of_another_kind_is_kept_for_the_answer_and_one_without_end_is_not() {
        let mut list = ProtobufWriter::default();
        for cid in [&[1, 0x55, 0x13, 2, 9, 9][..], &[7; CID_MOST + 1]] {
            let entry = ProtobufWriter::default().bytes(1, cid).finish();
            list.bytes(1, &entry);
        }
        let bytes = Bytes::from(ProtobufWriter::default().bytes(1, &list.finish()).finish());
        let read = BitswapMessage::read(&bytes).unwrap();
        assert_eq!(read.wants.len(), 1);
        assert_eq!(read.wants[0].digest(), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = BitswapMessage::read(&Bytes::from(bytes));
        }
    }
}
