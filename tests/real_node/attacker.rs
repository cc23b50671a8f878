//! A peer that makes Noise and Yamux frames by hand, to do things that no library would.

use futures_util::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use libp2p::core::upgrade::OutboundConnectionUpgrade as _;
use libp2p::{identity, noise, tcp};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Kinds of frames, and their flags (`hashicorp/yamux:spec.md`).
const DATA: u8 = 0;
const WINDOW: u8 = 1;
const PING: u8 = 2;
const SYN: u16 = 1;
const ACK: u16 = 2;

/// Bytes that may be sent on a new stream.
const CREDIT: usize = 256 << 10;

type Secured = noise::Output<tcp::tokio::TcpStream>;

/// A connection.
pub struct Attacker {
    out: WriteHalf<Secured>,
    seen: Arc<Mutex<Seen>>,
    next: u32,
    /// Delay of its answers to pings, so that the round trip looks long.
    late: Duration,
}

/// The frames of the other end.
#[derive(Default)]
struct Seen {
    credit: HashMap<u32, usize>,
    pings: Vec<(Instant, u32)>,
    is_over: bool,
}

impl Attacker {
    /// Connects to a node, from one of the addresses of this host.
    pub async fn new(from: IpAddr, to: SocketAddr, late: Duration) -> io::Result<Attacker> {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(from, 0))?;
        let mut socket = tcp::tokio::TcpStream(socket.connect(to).await?);
        agree(&mut socket, "/noise").await?;
        let noise = noise::Config::new(&identity::Keypair::generate_ed25519()).map_err(io::Error::other)?;
        let (_, mut secured) = noise.upgrade_outbound(socket, "/noise").await.map_err(io::Error::other)?;
        agree(&mut secured, "/yamux/1.0.0").await?;
        let (read, out) = secured.split();
        let seen = Arc::new(Mutex::new(Seen::default()));
        tokio::spawn(listen(read, Arc::clone(&seen)));
        Ok(Attacker { out, seen, next: 1, late })
    }

    /// Opens a stream of Bitswap.
    pub async fn open(&mut self) -> io::Result<u32> {
        let stream = self.next;
        self.next += 2;
        self.seen.lock().unwrap().credit.insert(stream, CREDIT);
        self.frame(WINDOW, SYN, stream, 0, &[]).await?;
        let hello = [proposal("/multistream/1.0.0"), proposal("/ipfs/bitswap/1.2.0")].concat();
        self.send(stream, &hello).await?;
        Ok(stream)
    }

    /// Returns the bytes that may still be sent on a stream.
    pub fn credit(&self, stream: u32) -> usize {
        self.seen.lock().unwrap().credit.get(&stream).copied().unwrap_or_default()
    }

    /// True if the other end has ended the connection.
    pub fn is_over(&self) -> bool {
        self.seen.lock().unwrap().is_over
    }

    /// Sends as much as may be sent on a stream, in frames of at most 60 kB; returns the number of bytes.
    pub async fn send(&mut self, stream: u32, bytes: &[u8]) -> io::Result<usize> {
        self.send_in_pieces(stream, bytes, 60_000).await
    }

    /// Sends the same in frames of `piece` bytes.
    pub async fn send_in_pieces(&mut self, stream: u32, bytes: &[u8], piece: usize) -> io::Result<usize> {
        let mut sent = 0;
        while sent < bytes.len() {
            self.answer_pings().await?;
            if self.is_over() {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            let len = self.credit(stream).min(piece).min(bytes.len() - sent);
            if len == 0 {
                break;
            }
            *self.seen.lock().unwrap().credit.get_mut(&stream).expect("it was opened") -= len;
            self.frame(DATA, 0, stream, len, &bytes[sent..sent + len]).await?;
            sent += len;
        }
        self.out.flush().await?;
        Ok(sent)
    }

    /// Answers pings when they are old enough.
    pub async fn answer_pings(&mut self) -> io::Result<()> {
        let due: Vec<u32> = {
            let mut seen = self.seen.lock().unwrap();
            let (due, later) = seen.pings.drain(..).partition(|(at, _)| at.elapsed() >= self.late);
            seen.pings = later;
            due.into_iter().map(|(_, opaque): (Instant, u32)| opaque).collect()
        };
        for opaque in due {
            self.frame(PING, ACK, 0, opaque as usize, &[]).await?;
            self.out.flush().await?;
        }
        Ok(())
    }

    async fn frame(&mut self, kind: u8, flags: u16, stream: u32, len: usize, body: &[u8]) -> io::Result<()> {
        let mut frame = vec![0, kind];
        frame.extend(flags.to_be_bytes());
        frame.extend(stream.to_be_bytes());
        frame.extend((len as u32).to_be_bytes());
        frame.extend(body);
        self.out.write_all(&frame).await
    }
}

/// Records the frames of the other end, until it closes.
async fn listen(mut read: ReadHalf<Secured>, seen: Arc<Mutex<Seen>>) {
    let mut header = [0; 12];
    while read.read_exact(&mut header).await.is_ok() {
        let number = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().expect("four bytes"));
        let (kind, flags, stream, len) = (header[1], u16::from_be_bytes([header[2], header[3]]), number(4), number(8));
        if kind == DATA && read.read_exact(&mut vec![0; len as usize]).await.is_err() {
            break;
        }
        let mut seen = seen.lock().unwrap();
        match kind {
            WINDOW => seen.credit.entry(stream).and_modify(|credit| *credit += len as usize).or_default(),
            PING if flags & SYN != 0 => {
                seen.pings.push((Instant::now(), len));
                continue;
            }
            _ => continue,
        };
    }
    seen.lock().unwrap().is_over = true;
}

/// Negotiates a protocol (`libp2p/specs:connections/README.md`, multistream-select).
async fn agree(
    socket: &mut (impl futures_util::AsyncRead + futures_util::AsyncWrite + Unpin),
    protocol: &str,
) -> io::Result<()> {
    for line in ["/multistream/1.0.0", protocol] {
        socket.write_all(&proposal(line)).await?;
    }
    socket.flush().await?;
    for line in ["/multistream/1.0.0", protocol] {
        let mut got = vec![0; line.len() + 2];
        socket.read_exact(&mut got).await?;
        if got != proposal(line) {
            return Err(io::Error::other("another protocol"));
        }
    }
    Ok(())
}

fn proposal(line: &str) -> Vec<u8> {
    [&[line.len() as u8 + 1][..], line.as_bytes(), b"\n"].concat()
}

/// Returns a message with its length before it.
pub fn framed(message: &[u8]) -> Vec<u8> {
    [&varint(message.len())[..], message].concat()
}

/// Encodes a field of bytes (protobuf, wire type 2).
pub fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2][..], &varint(bytes.len()), bytes].concat()
}

fn varint(mut n: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
    out
}
