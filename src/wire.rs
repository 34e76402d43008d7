//! The PostgreSQL wire protocol: connections, messages, types, and PostgreSQL's system tables.
//!
//! pgwire gives the messages; the loop that answers them is ours (`connection`), and so is the encoding of rows
//! (`encode`). One task and one session a connection; a result streams from the scan to the socket with nothing in between
//! but one batch and one write buffer.

mod cancel;
mod channel;
mod connection;
mod decode;
mod encode;
mod extended;
mod frames;
pub mod pg_catalog;
mod response;
mod rows;
mod simple;
mod startup;
mod types;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::engine::Engine;
use crate::error::{Error, Kind, Result};
use cancel::Backends;

/// Connections that may be in start-up, or bring a cancel request, beyond those that have a session.
const STARTING_CONNECTIONS: usize = 64;
/// Pause after the system refused to accept a connection (no file descriptors left, mostly).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Bounds of a server.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// Sessions at once; a client beyond gets 53300.
    pub max_connections: usize,
    /// Longest message that a client may send.
    pub max_message_bytes: usize,
    /// From accept to the session.
    pub startup_timeout: Duration,
    /// How long running statements may go on when the server stops; then they are cancelled with 57P01.
    pub drain_timeout: Duration,
    /// How long cancelled statements may take to end. A commit that was decided is brought to its end within it.
    pub abort_timeout: Duration,
}

impl Default for ServeOptions {
    fn default() -> ServeOptions {
        ServeOptions {
            max_connections: 100,
            max_message_bytes: 256 * 1024 * 1024,
            startup_timeout: Duration::from_secs(60),
            drain_timeout: Duration::from_secs(30),
            abort_timeout: Duration::from_secs(30),
        }
    }
}

/// What all connections of a server share.
struct Server {
    engine: Arc<Engine>,
    options: ServeOptions,
    backends: Backends,
    seats: Arc<Semaphore>,
    /// No new work: idle connections end.
    shutdown: CancellationToken,
    /// No more patience: running statements end too.
    stop: CancellationToken,
}

/// Refuses addresses that other machines can reach: as long as there are no roles, whoever connects may do anything.
pub fn check_address(address: &SocketAddr) -> Result<()> {
    if address.ip().to_canonical().is_loopback() {
        return Ok(());
    }
    Err(Error::new(
        Kind::Configuration,
        format!(
            "refusing to listen on {address}: there are no roles and passwords yet, so everyone who reaches the server could \
             read and overwrite everything"
        ),
    )
    .with_hint("listen on a loopback address such as 127.0.0.1:5439, and reach it from elsewhere through ssh -L"))
}

/// Serves clients until `shutdown`, then lets running statements finish within the options' limits.
///
/// Errors: the listener's address is not loopback.
pub async fn serve(
    engine: Arc<Engine>,
    listener: TcpListener,
    options: ServeOptions,
    shutdown: CancellationToken,
) -> Result<()> {
    check_address(&listener.local_addr()?)?;
    let stop = CancellationToken::new();
    let places = Arc::new(Semaphore::new(options.max_connections + STARTING_CONNECTIONS));
    let server = Arc::new(Server {
        engine,
        backends: Backends::default(),
        seats: Arc::new(Semaphore::new(options.max_connections)),
        shutdown,
        stop,
        options,
    });
    let mut connections = JoinSet::new();
    loop {
        // With all places taken, clients wait in the listener's queue.
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        tokio::select! {
            biased;
            () = server.shutdown.cancelled() => break,
            Some(ended) = connections.join_next() => note_panic(ended),
            (place, accepted) = accepted => match accepted {
                Ok((socket, _)) => {
                    let server = Arc::clone(&server);
                    connections.spawn(async move {
                        connection::attend(server, socket).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "could not accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    drain(&server, connections).await;
    Ok(())
}

/// Waits for the connections: first for their statements to finish, then for cancelled ones to end.
async fn drain(server: &Server, mut connections: JoinSet<()>) {
    for limit in [server.options.drain_timeout, server.options.abort_timeout] {
        let all = async {
            while let Some(ended) = connections.join_next().await {
                note_panic(ended);
            }
        };
        if tokio::time::timeout(limit, all).await.is_ok() {
            return;
        }
        server.stop.cancel();
    }
    tracing::warn!(connections = connections.len(), "connections did not end in time and are dropped");
    connections.shutdown().await;
}

fn note_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection ended by a panic");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_listened_on() {
        for good in ["127.0.0.1:5439", "127.9.9.9:1", "[::1]:5439", "[::ffff:127.0.0.1]:5439"] {
            assert!(check_address(&good.parse().unwrap()).is_ok(), "{good}");
        }
        for bad in ["0.0.0.0:5439", "[::]:5439", "10.1.2.3:5439", "[2001:db8::1]:5439"] {
            let error = check_address(&bad.parse().unwrap()).unwrap_err();
            assert_eq!(error.kind, Kind::Configuration);
            assert!(error.message.contains("no roles"), "{}", error.message);
        }
    }
}
