//! The one question to a mirror before its database is fetched from another source: which one does it have now?
//!
//! It costs a round trip and almost no bytes, on the connection that a download would use next.

use std::time::SystemTime;

use reqwest::{StatusCode, Url, header};

use crate::base::error::{Error, ErrorKind};
use crate::machine::call::Call;
use crate::net::http::range::ContentRange;
use crate::net::http::{self, GetOptions};

/// Bytes at the end of a compressed file that are compared. The end of a gzip or xz file, and of a zstd file as its
/// tool writes it, holds a checksum of everything before it.
pub(crate) const TAIL: u64 = 256;

/// A mirror's answer about its database.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum DatabaseAnswer {
    /// It is not newer than the one named in the question.
    Unchanged,
    /// It has one of this size and date, which ends with `tail` (empty when that was not asked for).
    Has {
        /// Bytes.
        size: u64,
        /// Its date.
        modified: Option<SystemTime>,
        /// Its last bytes.
        tail: Vec<u8>,
    },
    /// It gave no usable answer; a download will tell more.
    Nothing,
}

/// Asks for size and date.
pub(crate) async fn what_it_has(
    call: &mut Call,
    url: &Url,
    newer_than: Option<SystemTime>,
) -> Result<DatabaseAnswer, Error> {
    ask(call, url, &GetOptions { head: true, newer_than, unproven: true, ..GetOptions::default() }, 0).await
}

/// Asks for the end of a database that is supposed to have `size` bytes.
pub(crate) async fn does_it_have(
    call: &mut Call,
    url: &Url,
    size: u64,
    newer_than: Option<SystemTime>,
) -> Result<DatabaseAnswer, Error> {
    let from = size.saturating_sub(TAIL).max(1);
    ask(
        call,
        url,
        &GetOptions { from, until: Some(size), newer_than, unproven: true, ..GetOptions::default() },
        size - from,
    )
    .await
}

/// Sends the question, and reads a body of exactly `expected` bytes when it is a part of the file.
async fn ask(call: &mut Call, url: &Url, ask: &GetOptions, expected: u64) -> Result<DatabaseAnswer, Error> {
    let http = std::rc::Rc::clone(&call.machine.http);
    let limit = call.machine.settings.connect;
    let asked = async {
        let mut response = http.ask(url, ask).await.ok()?;
        let headers = response.headers();
        let modified = http::text(headers, header::LAST_MODIFIED).and_then(|text| httpdate::parse_http_date(text).ok());
        let range = http::text(headers, header::CONTENT_RANGE).and_then(ContentRange::parse);
        let size = match (response.status(), range) {
            (StatusCode::NOT_MODIFIED, _) if ask.newer_than.is_some() => return Some(DatabaseAnswer::Unchanged),
            // Of HEAD; the length of a body that does not come. A mirror without ranges sends it all: it is left unread.
            (StatusCode::OK | StatusCode::NON_AUTHORITATIVE_INFORMATION, _) if ask.head => {
                http::text(headers, header::CONTENT_LENGTH)?.parse().ok()?
            }
            (StatusCode::PARTIAL_CONTENT, Some(range)) if range.first == ask.from => range.total?,
            _ => return Some(DatabaseAnswer::Nothing),
        };
        let mut tail = Vec::new();
        while !ask.head
            && let Some(piece) = response.chunk().await.ok()?
        {
            tail.extend_from_slice(&piece);
            if tail.len() as u64 > expected {
                return Some(DatabaseAnswer::Nothing);
            }
        }
        Some(DatabaseAnswer::Has { size, modified, tail })
    };
    let cancel = call.cancel.clone();
    match cancel.run_until_cancelled(tokio::time::timeout(limit, asked)).await {
        Some(Ok(Some(said))) => Ok(said),
        Some(_) => {
            // The download that follows asks the others first.
            call.health.down(&http::host(url), None);
            Ok(DatabaseAnswer::Nothing)
        }
        None => Err(Error::new(ErrorKind::Interrupted, http::shown(url), "interrupted")),
    }
}

/// Returns true when the end of a file that begins with `head` stands for all of it.
///
/// gzip ends with the CRC-32 and length of the content, xz with a check and an index of lengths. zstd has a checksum
/// only where bit 2 of its frame header says so (RFC 8878, section 3.1.1.1.1), which is the tool's default.
pub(crate) fn end_tells_all(head: &[u8]) -> bool {
    head.starts_with(b"\x1f\x8b")
        || head.starts_with(b"\xfd7zXZ\x00")
        || (head.starts_with(b"\x28\xb5\x2f\xfd") && head.get(4).is_some_and(|descriptor| descriptor & 0b100 != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_stands_for_all_only_where_it_has_a_checksum() {
        assert!(end_tells_all(b"\x1f\x8b\x08\x00"));
        assert!(end_tells_all(b"\xfd7zXZ\x00\x00\x04"));
        assert!(end_tells_all(b"\x28\xb5\x2f\xfd\x04\x58"));
        assert!(!end_tells_all(b"\x28\xb5\x2f\xfd\x00\x58"));
        assert!(!end_tells_all(b"core/desc\0\0"));
        assert!(!end_tells_all(b""));
    }
}
