//! Descriptors on a connection, from a peer that may be hostile.
//!
//! Closing a descriptor may block for as long as its sender likes: a TCP socket with SO_LINGER and unsent bytes does, and
//! so does a message that carries one and is thrown away, and a connection with such a message in its queue. Linux 6.16
//! lets a socket refuse them (SO_PASSRIGHTS); before that, each message is inspected before it is received.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;

use nix::libc;
use nix::sys::socket::{getsockopt, setsockopt};
use nix::{getsockopt_impl, setsockopt_impl};
use rustix::net::{RecvAncillaryBuffer, RecvFlags, ReturnFlags, sockopt};

/// SO_PASSRIGHTS of Linux 6.16 (include/uapi/asm-generic/socket.h; arch/sparc has a number of its own).
const SO_PASSRIGHTS: libc::c_int = if cfg!(target_arch = "sparc64") { 0x5c } else { 83 };

/// The option that a Unix socket, and every one accepted from it, accepts descriptors. True unless switched off.
#[derive(Clone, Copy)]
struct PassRights;
setsockopt_impl!(PassRights, libc::SOL_SOCKET, SO_PASSRIGHTS, bool, nix::sys::socket::sockopt::SetBool);
getsockopt_impl!(PassRights, libc::SOL_SOCKET, SO_PASSRIGHTS, bool, nix::sys::socket::sockopt::GetBool);

/// Makes the kernel refuse descriptors on this socket and on those that are accepted from it.
///
/// Returns true when it does. A message that came before may still carry one.
pub(super) fn refuse(socket: impl AsFd) -> bool {
    setsockopt(&socket.as_fd(), PassRights, &false).is_ok()
}

/// Returns true when the kernel has refused descriptors on this socket from its first message on: it was accepted
/// from one that refuses them.
pub(super) fn are_refused(socket: impl AsFd) -> bool {
    getsockopt(&socket.as_fd(), PassRights).is_ok_and(|takes| !takes)
}

/// The next item in a socket's queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Waiting {
    /// A message of bytes alone.
    Bytes,
    /// A message with a descriptor. Receiving it, or closing the socket, may block.
    Descriptor,
    /// The end: the other side has closed, or this one reads no more, and all messages were received.
    End,
}

/// Makes [`look`] tell an empty message from the end: the kernel adds the sender's credentials to each message.
pub(super) fn prepare(socket: impl AsFd) -> io::Result<()> {
    Ok(sockopt::set_socket_passcred(socket, true)?)
}

/// Tells the next item, without receiving it or its descriptor (test
/// `a_message_with_a_descriptor_is_known_before_it_is_taken`).
///
/// # Errors
/// `WouldBlock` when nothing is there yet.
pub(super) fn look(socket: impl AsFd) -> io::Result<Waiting> {
    // Room for the credentials alone: the kernel reports when there would have been more, and installs none.
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let got = rustix::net::recvmsg(socket, &mut [], &mut control, flags)?;
    Ok(match (got.flags.contains(ReturnFlags::CTRUNC), control.drain().next().is_some()) {
        (true, _) => Waiting::Descriptor,
        (false, true) => Waiting::Bytes,
        (false, false) => Waiting::End,
    })
}

/// Returns true when closing this socket cannot block: nothing can be sent to it any more, and nothing in its
/// queue carries a descriptor. Messages in its queue are thrown away.
pub(super) fn is_free_of_them(socket: impl AsFd) -> bool {
    if rustix::net::shutdown(&socket, rustix::net::Shutdown::Read).is_err() {
        return false;
    }
    loop {
        match look(&socket) {
            Ok(Waiting::Bytes) => {
                // An error comes again with the next call of `look`.
                let _ = rustix::net::recv(&socket, &mut [0; 1], RecvFlags::DONTWAIT);
            }
            Ok(Waiting::End) => return true,
            Ok(Waiting::Descriptor) | Err(_) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::IoSlice;
    use std::os::fd::{BorrowedFd, OwnedFd};

    use rustix::net::{AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType};

    fn pair() -> (OwnedFd, OwnedFd) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap()
    }

    fn send(socket: &OwnedFd, bytes: &[u8], with: &[BorrowedFd<'_>]) -> rustix::io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !with.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(with));
        }
        rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)
    }

    #[test]
    fn a_message_with_a_descriptor_is_known_before_it_is_taken() {
        let (ours, theirs) = pair();
        prepare(&ours).unwrap();
        assert_eq!(look(&ours).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let (given, kept) = rustix::pipe::pipe().unwrap();
        for message in [&b""[..], b"status"] {
            send(&theirs, message, &[]).unwrap();
            assert_eq!(look(&ours).unwrap(), Waiting::Bytes);
            rustix::net::recv(&ours, &mut [0; 16], RecvFlags::DONTWAIT).unwrap();
        }
        for message in [&b""[..], b"status"] {
            send(&theirs, message, &[given.as_fd()]).unwrap();
        }
        drop(given);
        for _ in 0..2 {
            assert_eq!((look(&ours).unwrap(), look(&ours).unwrap()), (Waiting::Descriptor, Waiting::Descriptor));
            // Still in flight: the pipe has a reader.
            assert!(rustix::io::write(&kept, b"x").is_ok());
            rustix::net::recv(&ours, &mut [0; 16], RecvFlags::DONTWAIT).unwrap();
        }
        assert_eq!(rustix::io::write(&kept, b"x"), Err(rustix::io::Errno::PIPE));
        drop(theirs);
        assert_eq!(look(&ours).unwrap(), Waiting::End);
    }

    #[test]
    fn what_lies_unread_decides_whether_closing_can_block() {
        let (given, _kept) = rustix::pipe::pipe().unwrap();
        type Messages = &'static [(&'static [u8], bool)];
        let cases: [(Messages, bool); 4] = [
            (&[], true),
            (&[(b"a", false), (b"", false), (b"b", false)], true),
            (&[(b"", true)], false),
            (&[(b"", false), (b"a", false), (b"b", true)], false),
        ];
        for has_gone in [false, true] {
            for (messages, is_free) in cases {
                let (ours, theirs) = pair();
                prepare(&ours).unwrap();
                for (bytes, carries) in messages {
                    let with = [given.as_fd()];
                    send(&theirs, bytes, if *carries { &with } else { &[] }).unwrap();
                }
                let theirs = (!has_gone).then_some(theirs);
                assert_eq!(is_free_of_them(&ours), is_free, "{messages:?}, {has_gone}");
                if let Some(theirs) = theirs {
                    assert_eq!(send(&theirs, b"late", &[given.as_fd()]), Err(rustix::io::Errno::PIPE));
                }
            }
        }
    }
}
