//! The two directions of a connection's socket, each with its buffer.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use pgwire::messages::PgWireBackendMessage;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::frames::{self, Opening, Request};
use crate::error::Result;

/// While a statement runs, so much is read ahead of it in order to see the client's end of file.
const READ_AHEAD_BYTES: usize = 256 * 1024;
/// How often a client whose read-ahead is full is looked at.
const FULL_CHECK: Duration = Duration::from_millis(250);
/// The write buffer is sent when it holds so much.
pub(super) const FLUSH_BYTES: usize = 64 * 1024;
/// A buffer that grew beyond this for a large row or message is given back afterwards.
const KEPT_BYTES: usize = 1024 * 1024;

/// What came from the client.
pub(super) enum Received<T> {
    Message(T),
    /// The client is gone.
    End,
}

/// From the client.
pub(super) struct Inbound {
    socket: OwnedReadHalf,
    buffer: BytesMut,
    limit_bytes: usize,
    ended: bool,
}

impl Inbound {
    pub(super) fn new(socket: OwnedReadHalf, limit_bytes: usize) -> Inbound {
        Inbound { socket, buffer: BytesMut::with_capacity(8 * 1024), limit_bytes, ended: false }
    }

    /// The next start-up packet. An error is a malformed one.
    pub(super) async fn opening(&mut self) -> Result<Received<Opening>> {
        loop {
            if let Some(opening) = frames::next_opening(&mut self.buffer)? {
                return Ok(Received::Message(opening));
            }
            if !self.read().await {
                return Ok(Received::End);
            }
        }
    }

    /// The next message. An error is a malformed one, after which nothing can be read. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Result<Received<Request>> {
        loop {
            if let Some(request) = frames::next_request(&mut self.buffer, self.limit_bytes)? {
                return Ok(Received::Message(request));
            }
            if !self.read().await {
                return Ok(Received::End);
            }
        }
    }

    /// Waits for the message behind an Execute and says whether it is a Sync. A Close between them is passed over.
    pub(super) async fn sync_follows(&mut self) -> Result<Received<bool>> {
        let mut offset = 0;
        loop {
            match frames::head(&self.buffer, offset, self.limit_bytes)? {
                Some((b'C', length)) => offset += length,
                Some((kind, _)) => return Ok(Received::Message(kind == b'S')),
                None if !self.read().await => return Ok(Received::End),
                None => {}
            }
        }
    }

    /// Returns when the client has closed its side. Reads ahead, within a bound. Dropping the future loses nothing.
    pub(super) async fn closed(&mut self) {
        loop {
            if self.ended {
                return;
            }
            if self.buffer.len() < READ_AHEAD_BYTES {
                self.read().await;
                continue;
            }
            tokio::time::sleep(FULL_CHECK).await;
            if self.socket.ready(Interest::READABLE).await.is_ok_and(|ready| ready.is_read_closed()) {
                return;
            }
        }
    }

    /// Throws away what still comes, for at most so long: a socket that is closed with unread bytes in it takes back what was
    /// sent last.
    pub(super) async fn discard(&mut self, limit: Duration) {
        let rest = async {
            loop {
                self.buffer.clear();
                if !self.read().await {
                    return;
                }
            }
        };
        // Whoever still sends by then is not listening.
        let _ = tokio::time::timeout(limit, rest).await;
    }

    /// Reads some bytes; `false` at the end.
    async fn read(&mut self) -> bool {
        if !self.ended {
            if self.buffer.is_empty() && self.buffer.capacity() > KEPT_BYTES {
                self.buffer = BytesMut::with_capacity(8 * 1024);
            }
            // A connection that breaks is one that ends.
            self.ended = !matches!(self.socket.read_buf(&mut self.buffer).await, Ok(1..));
        }
        !self.ended
    }
}

/// To the client.
pub(super) struct Outbound {
    socket: OwnedWriteHalf,
    buffer: BytesMut,
}

impl Outbound {
    pub(super) fn new(socket: OwnedWriteHalf) -> Outbound {
        Outbound { socket, buffer: BytesMut::with_capacity(FLUSH_BYTES + 8 * 1024) }
    }

    /// Puts a message into the buffer.
    pub(super) fn put(&mut self, message: PgWireBackendMessage) -> io::Result<()> {
        message.encode(&mut self.buffer).map_err(io::Error::other)
    }

    /// For rows, which are written without a message of their own.
    pub(super) fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    pub(super) fn is_full(&self) -> bool {
        self.buffer.len() >= FLUSH_BYTES
    }

    /// Sends what is buffered. Dropping the future keeps what was not sent yet.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        self.socket.write_all_buf(&mut self.buffer).await?;
        if self.buffer.capacity() > KEPT_BYTES {
            self.buffer = BytesMut::with_capacity(FLUSH_BYTES + 8 * 1024);
        }
        Ok(())
    }

    pub(super) async fn shutdown(&mut self) {
        // The client may be gone already.
        let _ = self.socket.shutdown().await;
    }
}
