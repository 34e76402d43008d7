//! Frames to messages: a frame is cut out by its length and checked against its message's shape before pgwire's codec reads
//! it, because that codec trusts the counts and lengths within (it panics, or reads on into the next message).

use bytes::{Buf, BytesMut};
use pgwire::messages::cancel::CancelRequest;
use pgwire::messages::startup::{GssEncRequest, SslRequest, Startup};
use pgwire::messages::{DecodeContext, Message, PgWireFrontendMessage, ProtocolVersion};

use crate::error::{Error, Kind, Result};

/// Longest start-up packet (PostgreSQL's MAX_STARTUP_PACKET_LENGTH).
const STARTUP_LIMIT_BYTES: usize = 10_000;

/// What a client may open a connection with.
pub(super) enum Opening {
    /// SSLRequest or GSSENCRequest.
    Encryption,
    Cancel(CancelRequest),
    Startup(Startup),
}

/// What a client sends once it is connected.
pub(super) enum Request {
    Message(PgWireFrontendMessage),
    /// Fast-path function call, which pgwire's codec does not know.
    FunctionCall,
}

fn malformed(message: impl Into<String>) -> Error {
    Error::new(Kind::ProtocolViolation, message)
}

fn big_endian(bytes: &[u8]) -> usize {
    bytes.iter().take(4).fold(0, |value, byte| (value << 8) | usize::from(*byte))
}

fn context() -> DecodeContext {
    let mut context = DecodeContext::default();
    context.protocol_version = ProtocolVersion::PROTOCOL3_0;
    context.awaiting_frontend_ssl = false;
    context.awaiting_frontend_startup = false;
    context
}

/// Takes the next start-up packet out of the buffer; `None` if it is not whole yet.
pub(super) fn next_opening(buffer: &mut BytesMut) -> Result<Option<Opening>> {
    if buffer.len() < 8 {
        return Ok(None);
    }
    let length = big_endian(buffer);
    if !(8..=STARTUP_LIMIT_BYTES).contains(&length) {
        return Err(malformed("invalid length of start-up packet"));
    }
    if buffer.len() < length {
        return Ok(None);
    }
    let mut frame = buffer.split_to(length);
    if SslRequest::is_ssl_request_packet(&frame) || GssEncRequest::is_gss_enc_request_packet(&frame) {
        return Ok(Some(Opening::Encryption));
    }
    let broken = |e: pgwire::error::PgWireError| malformed(format!("invalid start-up packet: {e}"));
    if CancelRequest::is_cancel_request_packet(&frame) {
        return Ok(CancelRequest::decode(&mut frame, &context()).map_err(broken)?.map(Opening::Cancel));
    }
    let (major, minor) = (big_endian(&frame[4..8]) >> 16, big_endian(&frame[4..8]) & 0xffff);
    if major != 3 {
        return Err(Error::new(
            Kind::FeatureNotSupported,
            format!("unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.0"),
        ));
    }
    if std::str::from_utf8(&frame[8..]).is_err() {
        return Err(Error::new(Kind::InvalidEncoding, "start-up packet is not valid UTF-8"));
    }
    if frame.last() != Some(&0) || length == 8 {
        return Err(malformed("invalid start-up packet layout: expected terminator as last byte"));
    }
    Ok(Startup::decode(&mut frame, &context()).map_err(broken)?.map(Opening::Startup))
}

/// The type byte and whole length (with that byte) of the frame at an offset; `None` if its head is not there yet.
pub(super) fn head(buffer: &[u8], offset: usize, limit_bytes: usize) -> Result<Option<(u8, usize)>> {
    let Some(head) = buffer.get(offset..offset + 5) else {
        return Ok(None);
    };
    let length = big_endian(&head[1..]);
    if !b"QPBDECHSXFdcfp".contains(&head[0]) {
        return Err(malformed(format!("invalid frontend message type {}", head[0])));
    }
    if length < 4 {
        return Err(malformed("invalid message length"));
    }
    if length > limit_bytes {
        return Err(malformed(format!("a message of {length} bytes is over the limit of {limit_bytes} bytes")));
    }
    Ok(Some((head[0], length + 1)))
}

/// Takes the next message out of the buffer; `None` if it is not whole yet. After an error the stream can't be read on.
pub(super) fn next_request(buffer: &mut BytesMut, limit_bytes: usize) -> Result<Option<Request>> {
    let Some((kind, length)) = head(buffer, 0, limit_bytes)? else {
        return Ok(None);
    };
    if buffer.len() < length {
        buffer.reserve(length - buffer.len());
        return Ok(None);
    }
    let mut frame = buffer.split_to(length);
    if kind == b'F' {
        return Ok(Some(Request::FunctionCall));
    }
    check_shape(kind, &frame[5..])?;
    let message = PgWireFrontendMessage::decode(&mut frame, &context());
    let message = message.map_err(|e| malformed(format!("invalid message: {e}")))?;
    Ok(message.map(Request::Message))
}

/// Whether a message's body has exactly the parts it must have.
fn check_shape(kind: u8, mut body: &[u8]) -> Result<()> {
    let shape: Option<()> = (|| {
        match kind {
            b'Q' => text(&mut body)?,
            b'P' => {
                text(&mut body)?;
                text(&mut body)?;
                let types = count(&mut body)?;
                skip(&mut body, types * 4)?;
            }
            b'B' => {
                text(&mut body)?;
                text(&mut body)?;
                let formats = count(&mut body)?;
                skip(&mut body, formats * 2)?;
                for _ in 0..count(&mut body)? {
                    parameter(&mut body)?;
                }
                let formats = count(&mut body)?;
                skip(&mut body, formats * 2)?;
            }
            b'D' | b'C' => {
                matches!(body.first()?, b'S' | b'P').then_some(())?;
                skip(&mut body, 1)?;
                text(&mut body)?;
            }
            b'E' => {
                text(&mut body)?;
                skip(&mut body, 4)?;
            }
            b'H' | b'S' | b'X' | b'c' => {}
            // CopyData, CopyFail and passwords are read by length; they have no use here.
            _ => return Some(()),
        }
        body.is_empty().then_some(())
    })();
    shape.ok_or_else(|| malformed(format!("invalid message format in message of type {}", char::from(kind))))
}

/// A string of UTF-8 up to its NUL. Bytes that are no UTF-8 make the frame malformed: pgwire's codec would replace them.
fn text(body: &mut &[u8]) -> Option<()> {
    let length = body.iter().position(|byte| *byte == 0)?;
    std::str::from_utf8(&body[..length]).ok()?;
    skip(body, length + 1)
}

fn count(body: &mut &[u8]) -> Option<usize> {
    (body.len() >= 2).then(|| usize::from(body.get_u16()))
}

fn parameter(body: &mut &[u8]) -> Option<()> {
    let length = (body.len() >= 4).then(|| body.get_i32())?;
    match length {
        -1 => Some(()),
        _ => skip(body, usize::try_from(length).ok()?),
    }
}

fn skip(body: &mut &[u8], bytes: usize) -> Option<()> {
    *body = body.get(bytes..)?;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, body: &[u8]) -> BytesMut {
        let mut buffer = BytesMut::from(&[kind][..]);
        buffer.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
        buffer.extend_from_slice(body);
        buffer
    }

    fn read(kind: u8, body: &[u8]) -> Result<Option<Request>> {
        next_request(&mut frame(kind, body), 1_000)
    }

    #[test]
    fn whole_messages_are_read() {
        let Some(Request::Message(PgWireFrontendMessage::Query(query))) = read(b'Q', b"SELECT 1\0").unwrap() else {
            panic!("no Query")
        };
        assert_eq!(query.query, "SELECT 1");
        let bind = b"\0s\0\0\x01\0\x01\0\x02\0\0\0\x01x\xff\xff\xff\xff\0\0";
        let Some(Request::Message(PgWireFrontendMessage::Bind(bind))) = read(b'B', bind).unwrap() else {
            panic!("no Bind")
        };
        assert_eq!(bind.statement_name.as_deref(), Some("s"));
        assert_eq!(bind.parameters.len(), 2);
        assert!(matches!(read(b'F', b"\0\0\0\x01").unwrap(), Some(Request::FunctionCall)));
    }

    #[test]
    fn an_unfinished_message_waits() {
        let mut buffer = frame(b'Q', b"SELECT 1\0");
        let rest = buffer.split_off(7);
        assert!(next_request(&mut buffer, 1_000).unwrap().is_none());
        buffer.extend_from_slice(&rest);
        assert!(next_request(&mut buffer, 1_000).unwrap().is_some());
        assert!(buffer.is_empty());
    }

    #[test]
    fn what_lies_about_itself_is_refused() {
        for (kind, body) in [
            (b'Q', &b"no terminator"[..]),
            (b'Q', b"two\0strings\0"),
            (b'Q', b"\xff\xfe\0"),
            (b'P', b"\0SELECT 1\0\xff\xff"),
            (b'B', b"\0\0\0\0\0\x01\x7f\xff\xff\xffx\0\0"),
            (b'B', b"\0\0\0\0\0\x01\xff\xff\xff\xfe\0\0"),
            (b'E', b"\0\0\0"),
            (b'D', b"Xname\0"),
            (b'S', b"more"),
            (b'?', b""),
        ] {
            let result = read(kind, body);
            assert!(matches!(&result, Err(e) if e.sqlstate() == "08P01"), "{} {body:?}", char::from(kind));
        }
        assert!(next_request(&mut frame(b'Q', &[b'x'; 2_000]), 1_000).is_err());
        assert!(next_request(&mut BytesMut::from(&b"Q\0\0\0\x03"[..]), 1_000).is_err());
    }

    #[test]
    fn start_up_packets_are_told_apart() {
        let packet = |body: &[u8]| {
            let mut buffer = BytesMut::from(&(body.len() as u32 + 4).to_be_bytes()[..]);
            buffer.extend_from_slice(body);
            next_opening(&mut buffer)
        };
        assert!(matches!(packet(&80_877_103_u32.to_be_bytes()), Ok(Some(Opening::Encryption))));
        assert!(matches!(packet(&80_877_104_u32.to_be_bytes()), Ok(Some(Opening::Encryption))));
        let Ok(Some(Opening::Startup(startup))) = packet(b"\0\x03\0\0user\0ann\0\0") else { panic!("no Startup") };
        assert_eq!(startup.parameters["user"], "ann");
        let Ok(Some(Opening::Cancel(cancel))) = packet(b"\x04\xd2\x16\x2e\0\0\0\x07\0\0\0\x09") else {
            panic!("no CancelRequest")
        };
        assert_eq!((cancel.pid, cancel.secret_key.as_i32()), (7, Some(9)));
        assert!(matches!(packet(b"\0\x02\0\0user\0ann\0\0"), Err(e) if e.sqlstate() == "0A000"));
        assert!(matches!(packet(b"\0\x03\0\0user\0ann"), Err(e) if e.sqlstate() == "08P01"));
    }
}
