//! Everything that stops a statement: a CancelRequest, `statement_timeout`, a client that went away, a server that stops.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use parking_lot::Mutex;
use pgwire::messages::cancel::CancelRequest;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::channel::Inbound;
use crate::error::{Error, Kind, Result};

/// The connections that a CancelRequest can name: number of the backend → its secret and what cancels its statement.
#[derive(Clone, Default)]
pub(super) struct Backends {
    running: Arc<Mutex<HashMap<i32, Backend>>>,
}

struct Backend {
    secret: i32,
    statement: Option<CancellationToken>,
}

impl Backends {
    /// Enters a new connection, until the registration is dropped.
    pub(super) fn register(&self) -> Registration {
        let secret = rand::random();
        let mut running = self.running.lock();
        let backend_id = loop {
            let candidate = rand::random_range(1..i32::MAX);
            if !running.contains_key(&candidate) {
                break candidate;
            }
        };
        running.insert(backend_id, Backend { secret, statement: None });
        Registration { backends: self.clone(), backend_id, secret }
    }

    /// Cancels what the named connection runs now, if the secret is right. Nobody is told whether it was.
    pub(super) fn cancel(&self, request: &CancelRequest) {
        if let Some(backend) = self.running.lock().get(&request.pid)
            && request.secret_key.as_i32() == Some(backend.secret)
            && let Some(statement) = &backend.statement
        {
            statement.cancel();
        }
    }
}

/// A connection's entry among the backends.
pub(super) struct Registration {
    backends: Backends,
    pub(super) backend_id: i32,
    pub(super) secret: i32,
}

impl Registration {
    /// A statement begins that `token` cancels; `None`: it ended.
    pub(super) fn set(&self, token: Option<CancellationToken>) {
        if let Some(backend) = self.backends.running.lock().get_mut(&self.backend_id) {
            backend.statement = token;
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.backends.running.lock().remove(&self.backend_id);
    }
}

/// Why a statement was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    Requested,
    Timeout,
    ClientGone,
    ServerStops,
}

impl Reason {
    fn error(self) -> Error {
        match self {
            Reason::Requested => Error::new(Kind::Canceled, "canceling statement due to user request"),
            Reason::Timeout => Error::new(Kind::Canceled, "canceling statement due to statement timeout"),
            Reason::ClientGone => Error::new(Kind::ConnectionFailure, "connection to client lost"),
            Reason::ServerStops => stopping(),
        }
    }
}

/// What a client is told when the server stops.
pub(super) fn stopping() -> Error {
    Error::new(Kind::AdminShutdown, "terminating connection due to administrator command")
}

/// What is watched while one statement runs and its rows are sent.
pub(super) struct Watch {
    token: CancellationToken,
    deadline: Option<Instant>,
    /// The server's patience has ended.
    stop: CancellationToken,
}

impl Watch {
    pub(super) fn new(token: CancellationToken, deadline: Option<Instant>, stop: CancellationToken) -> Watch {
        Watch { token, deadline, stop }
    }

    async fn interrupted(&self, inbound: &mut Inbound) -> Reason {
        let timeout = async {
            match self.deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.token.cancelled() => Reason::Requested,
            () = timeout => Reason::Timeout,
            () = self.stop.cancelled() => Reason::ServerStops,
            () = inbound.closed() => Reason::ClientGone,
        }
    }

    /// Runs a statement to its end. Stopping it asks the session, whose answer counts: a commit that was decided is reported
    /// as done.
    pub(super) async fn run<T>(&self, statement: impl Future<Output = Result<T>>, inbound: &mut Inbound) -> Result<T> {
        let mut statement = std::pin::pin!(AssertUnwindSafe(statement).catch_unwind());
        let reason = tokio::select! {
            biased;
            result = &mut statement => return unpanicked(result).map_err(|e| self.explain(e)),
            reason = self.interrupted(inbound) => reason,
        };
        self.token.cancel();
        unpanicked(statement.await).map_err(|error| match error.kind {
            Kind::Canceled => reason.error(),
            _ => error,
        })
    }

    /// Waits for what may be given up at any moment: the next batch of a result, an analysis, the client reading on.
    pub(super) async fn race<T>(&self, step: impl Future<Output = T>, inbound: &mut Inbound) -> Result<T> {
        let step = AssertUnwindSafe(step).catch_unwind();
        tokio::select! {
            biased;
            reason = self.interrupted(inbound) => Err(reason.error()),
            result = step => unpanicked(result.map(Ok)),
        }
    }

    /// The session answers a CancelRequest on its own; the words are PostgreSQL's.
    fn explain(&self, error: Error) -> Error {
        if error.kind == Kind::Canceled && self.token.is_cancelled() { Reason::Requested.error() } else { error }
    }
}

/// A panic within a statement is its error: the server and its other connections go on.
fn unpanicked<T>(result: std::thread::Result<Result<T>>) -> Result<T> {
    result.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
        Err(Error::new(Kind::Internal, format!("the statement failed unexpectedly: {text}"))
            .with_hint("this is a defect in Tycho; please report it with the statement"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use pgwire::messages::startup::SecretKey;

    #[test]
    fn only_the_right_secret_cancels() {
        let backends = Backends::default();
        let registration = backends.register();
        let token = CancellationToken::new();
        registration.set(Some(token.clone()));
        let request = |secret| CancelRequest::new(registration.backend_id, SecretKey::I32(secret));
        backends.cancel(&request(registration.secret.wrapping_add(1)));
        assert!(!token.is_cancelled());
        backends.cancel(&request(registration.secret));
        assert!(token.is_cancelled());
    }

    #[test]
    fn between_statements_nothing_is_cancelled_and_entries_go() {
        let backends = Backends::default();
        let registration = backends.register();
        let token = CancellationToken::new();
        registration.set(Some(token.clone()));
        registration.set(None);
        backends.cancel(&CancelRequest::new(registration.backend_id, SecretKey::I32(registration.secret)));
        assert!(!token.is_cancelled());
        drop(registration);
        assert!(backends.running.lock().is_empty());
    }
}
