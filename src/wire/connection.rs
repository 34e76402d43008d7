//! One connection from its first byte to its last: start-up, then the loop that answers messages.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use pgwire::messages::response::{CommandComplete, EmptyQueryResponse, SslResponse};
use pgwire::messages::startup::{
    Authentication, BackendKeyData, NegotiateProtocolVersion, ParameterStatus, SecretKey, Startup,
};
use pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tycho_catalog::View;

use super::Server;
use super::cancel::{Registration, Watch, stopping};
use super::channel::{Inbound, Outbound, Received};
use super::encode::datetime::Zone;
use super::extended::{Extended, Step};
use super::frames::{Opening, Request};
use super::response::{Failure, error_response, notice_response, ready_for_query};
use super::startup::{CATALOG_NAME, Parameters};
use crate::error::{Error, Kind, Result};
use crate::session::{Session, SessionOptions, Tag, TransactionStatus};

/// How long a client that is told a fatal error may go on sending, so that it comes to read the error.
const LINGER: Duration = Duration::from_secs(1);

/// What ParameterStatus tells at start-up: the setting, and its value where it is a fact of the protocol.
const REPORTED: &[(&str, Option<&str>)] = &[
    ("server_version", None),
    ("server_encoding", Some("UTF8")),
    ("client_encoding", Some("UTF8")),
    ("application_name", None),
    ("DateStyle", None),
    ("IntervalStyle", None),
    ("TimeZone", None),
    ("integer_datetimes", Some("on")),
    ("standard_conforming_strings", None),
    ("is_superuser", Some("on")),
    ("in_hot_standby", Some("off")),
    ("default_transaction_read_only", Some("off")),
];

/// A connection whose client is known.
pub(super) struct Connection {
    pub(super) server: Arc<Server>,
    pub(super) inbound: Inbound,
    pub(super) outbound: Outbound,
    pub(super) session: Session,
    pub(super) registration: Registration,
    pub(super) extended: Extended,
    /// The client was told a fatal error.
    over: bool,
    _seat: OwnedSemaphorePermit,
}

/// Serves one client until it leaves or the server stops.
pub(super) async fn attend(server: Arc<Server>, socket: TcpStream) {
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY is not to be had");
    }
    let (read, write) = socket.into_split();
    let mut inbound = Inbound::new(read, server.options.max_message_bytes);
    let mut outbound = Outbound::new(write);

    let limit = server.options.startup_timeout;
    let opened = tokio::time::timeout(limit, open(&server, &mut inbound, &mut outbound)).await;
    let opened = opened.unwrap_or_else(|_| {
        Err(Failure::Statement(Error::new(Kind::ProtocolViolation, "canceling authentication due to timeout")))
    });
    let (session, registration, seat) = match opened {
        Ok(Some(opened)) => opened,
        Ok(None) => return,
        Err(Failure::Connection(_)) => return,
        Err(Failure::Statement(error)) => return refuse(&error, &mut inbound, &mut outbound).await,
    };
    let extended = Extended::default();
    let mut connection =
        Connection { server, inbound, outbound, session, registration, extended, over: false, _seat: seat };
    if let Err(error) = connection.converse().await {
        tracing::debug!(%error, "connection lost");
    }
    let Connection { session, mut inbound, mut outbound, extended, .. } = connection;
    drop(extended);
    session.close().await;
    outbound.shutdown().await;
    inbound.discard(LINGER).await;
}

/// Tells a fatal error to a client that has no session.
async fn refuse(error: &Error, inbound: &mut Inbound, outbound: &mut Outbound) {
    let told = async {
        outbound.put(error_response(error, true, None))?;
        outbound.flush().await
    };
    if let Ok(Ok(())) = tokio::time::timeout(LINGER, told).await {
        outbound.shutdown().await;
        inbound.discard(LINGER).await;
    }
}

type Opened = (Session, Registration, OwnedSemaphorePermit);

/// Reads start-up packets up to the one that opens a session; `None`: the connection only brought a cancel request, or nothing.
async fn open(server: &Server, inbound: &mut Inbound, outbound: &mut Outbound) -> Result<Option<Opened>, Failure> {
    loop {
        match inbound.opening().await? {
            Received::End => return Ok(None),
            Received::Message(Opening::Encryption) => {
                outbound.put(PgWireBackendMessage::SslResponse(SslResponse::Refuse))?;
                outbound.flush().await?;
            }
            Received::Message(Opening::Cancel(request)) => {
                server.backends.cancel(&request);
                return Ok(None);
            }
            Received::Message(Opening::Startup(startup)) => {
                return welcome(server, &startup, outbound).await.map(Some);
            }
        }
    }
}

/// Makes the session that a start-up packet asks for and tells the client of it, all but ReadyForQuery.
async fn welcome(server: &Server, startup: &Startup, outbound: &mut Outbound) -> Result<Opened, Failure> {
    if server.shutdown.is_cancelled() {
        return Err(stopping().into());
    }
    let parameters = Parameters::read(&startup.parameters)?;
    let seat = Arc::clone(&server.seats).try_acquire_owned().map_err(|_| {
        Error::new(Kind::TooManyConnections, "sorry, too many clients already")
            .with_hint(format!("the server accepts {} connections at once", server.options.max_connections))
    })?;
    if startup.protocol_number_minor > 0 || !parameters.protocol_options.is_empty() {
        let newest = NegotiateProtocolVersion::new(Startup::PROTOCOL_VERSION_3_0, parameters.protocol_options.clone());
        outbound.put(PgWireBackendMessage::NegotiateProtocolVersion(newest))?;
    }
    let database = current_database(server, parameters.database.as_deref()).await?;
    let settings = parameters.apply(&server.engine.settings)?;
    let registration = server.backends.register();
    let backend_id = registration.backend_id;

    outbound.put(PgWireBackendMessage::Authentication(Authentication::Ok))?;
    for (name, fact) in REPORTED {
        let value = match settings.show(name) {
            Ok(value) => value,
            Err(error) => fact.map(str::to_owned).ok_or(error)?,
        };
        outbound.put(PgWireBackendMessage::ParameterStatus(ParameterStatus::new((*name).to_owned(), value)))?;
    }
    let user = ParameterStatus::new("session_authorization".to_owned(), parameters.user.clone());
    outbound.put(PgWireBackendMessage::ParameterStatus(user))?;
    let key = BackendKeyData::new(backend_id, SecretKey::I32(registration.secret));
    outbound.put(PgWireBackendMessage::BackendKeyData(key))?;

    let options = SessionOptions { user: parameters.user, backend_id, settings, database };
    Ok((Session::new(Arc::clone(&server.engine), options), registration, seat))
}

/// PostgreSQL's database is the catalog as a whole. For convenience the name of one of the catalog's databases is taken too, and
/// makes it the current one.
async fn current_database(server: &Server, asked: Option<&str>) -> Result<Option<String>> {
    let Some(asked) = asked.filter(|name| *name != CATALOG_NAME) else {
        return Ok(None);
    };
    let view = View::from(server.engine.catalog.snapshot().await?);
    match view.database(&asked.to_lowercase()).await? {
        Some(database) => Ok(Some(database.name)),
        None => Err(Error::new(Kind::UndefinedCatalog, format!("database \"{asked}\" does not exist"))
            .with_hint(format!("connect to {CATALOG_NAME} or to one of its databases, such as default"))),
    }
}

impl Connection {
    /// Answers messages until the client leaves or the server stops.
    async fn converse(&mut self) -> io::Result<()> {
        self.ready().await?;
        // Between a message and its ReadyForQuery a stopping server waits for the client, within its patience.
        let mut at_rest = true;
        while !self.over {
            let stop = if at_rest { &self.server.shutdown } else { &self.server.stop };
            let received = tokio::select! {
                biased;
                () = stop.cancelled() => return self.fatal(&stopping()).await,
                received = self.inbound.next() => received,
            };
            let request = match received {
                Err(error) => return self.fatal(&error).await,
                Ok(Received::End) => return Ok(()),
                Ok(Received::Message(Request::Message(PgWireFrontendMessage::Terminate(_)))) => return Ok(()),
                Ok(Received::Message(request)) => request,
            };
            at_rest = self.answer(request).await?;
        }
        self.flush().await
    }

    /// Answers one message; `true` if the answer ended with ReadyForQuery.
    async fn answer(&mut self, request: Request) -> io::Result<bool> {
        let message = match request {
            Request::Message(PgWireFrontendMessage::Sync(_)) => return self.sync().await.map(|()| true),
            _ if self.extended.skipping => return Ok(false),
            Request::FunctionCall => {
                let error = Error::new(Kind::FeatureNotSupported, "function calls by message are not supported");
                self.session.fail();
                self.report(Err(error.with_hint("call the function in a SELECT").into()), None)?;
                return self.ready().await.map(|()| true);
            }
            Request::Message(message) => message,
        };
        let step = match message {
            PgWireFrontendMessage::Query(query) => return self.simple_query(&query.query).await.map(|()| true),
            PgWireFrontendMessage::Flush(_) => return self.flush().await.map(|()| false),
            PgWireFrontendMessage::Parse(parse) => Step::Parse(parse),
            PgWireFrontendMessage::Bind(bind) => Step::Bind(bind),
            PgWireFrontendMessage::Describe(describe) => Step::Describe(describe),
            PgWireFrontendMessage::Execute(execute) => Step::Execute(execute),
            PgWireFrontendMessage::Close(close) => Step::Close(close),
            // Outside of a copy its messages are passed over: they may be on their way when a copy fails.
            PgWireFrontendMessage::CopyData(_)
            | PgWireFrontendMessage::CopyDone(_)
            | PgWireFrontendMessage::CopyFail(_) => return Ok(false),
            _ => {
                let error = Error::new(Kind::ProtocolViolation, "a message of the start-up came after it");
                return self.fatal(&error).await.map(|()| false);
            }
        };
        self.extended_query(step).await?;
        if self.outbound.is_full() {
            self.flush().await?;
        }
        Ok(false)
    }

    /// Starts a statement: what cancels it, and until when it may run.
    pub(super) fn watch(&mut self) -> Watch {
        let token = self.session.arm();
        self.registration.set(Some(token.clone()));
        let timeout = self.session.settings().duration_ms("statement_timeout");
        let deadline = (timeout > 0).then(|| Instant::now() + Duration::from_millis(timeout));
        Watch::new(token, deadline, self.server.stop.clone())
    }

    /// The session's time zone.
    pub(super) fn zone(&self) -> Result<Zone> {
        let name = self.session.settings().show("TimeZone")?;
        Zone::parse(&name)
            .ok_or_else(|| Error::new(Kind::InvalidParameterValue, format!("time zone \"{name}\" not recognized")))
    }

    /// Tells a statement's end. `rows`: how many were sent.
    pub(super) fn complete(&mut self, tag: Tag, rows: u64) -> io::Result<()> {
        self.registration.set(None);
        self.put_notices()?;
        self.outbound.put(match tag {
            Tag::Select => PgWireBackendMessage::CommandComplete(CommandComplete::new(format!("SELECT {rows}"))),
            Tag::Done(tag) => PgWireBackendMessage::CommandComplete(CommandComplete::new(tag)),
            Tag::Empty => PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new()),
        })
    }

    /// Tells a statement's error, if it ended with one.
    pub(super) fn report(&mut self, result: Result<(), Failure>, text: Option<&str>) -> io::Result<()> {
        self.registration.set(None);
        match result {
            Ok(()) => Ok(()),
            Err(Failure::Connection(error)) => Err(error),
            Err(Failure::Statement(error)) => {
                self.put_notices()?;
                self.over = error.kind == Kind::AdminShutdown;
                self.outbound.put(error_response(&error, self.over, text))
            }
        }
    }

    pub(super) fn put_notices(&mut self) -> io::Result<()> {
        for notice in self.session.take_notices() {
            self.outbound.put(notice_response(&notice))?;
        }
        Ok(())
    }

    /// Tells the client that it may go on. Portals end with their transaction.
    pub(super) async fn ready(&mut self) -> io::Result<()> {
        if self.over {
            return Ok(());
        }
        let status = self.session.transaction_status();
        if status == TransactionStatus::Idle {
            self.extended.close_portals();
        }
        self.put_notices()?;
        for (name, value) in self.session.take_parameter_changes() {
            self.outbound.put(PgWireBackendMessage::ParameterStatus(ParameterStatus::new(name, value)))?;
        }
        self.outbound.put(ready_for_query(status))?;
        self.flush().await
    }

    async fn fatal(&mut self, error: &Error) -> io::Result<()> {
        self.over = true;
        self.outbound.put(error_response(error, true, None))?;
        self.flush().await
    }

    /// Sends what is buffered, as long as the server has patience.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        tokio::select! {
            biased;
            result = self.outbound.flush() => result,
            () = self.server.stop.cancelled() => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }
}
