//! `tycho serve`: the PostgreSQL wire protocol over a warehouse, until a signal ends it.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, lookup_host};
use tokio_util::sync::CancellationToken;

use super::console::interrupted;
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::wire;

/// Listens, says so in one line on stdout, and serves until SIGTERM or Ctrl-C; then running statements may finish.
pub(super) async fn run(config: &Config) -> Result<()> {
    // Before the catalog is touched: an address that will be refused should cost nothing.
    let addresses = addresses(&config.listen).await?;
    for address in &addresses {
        wire::check_address(address)?;
    }
    let engine = super::open(config).await?;
    let listener = TcpListener::bind(addresses.as_slice()).await.map_err(|e| {
        let error = Error::new(Kind::Io, format!("cannot listen on {}: {e}", config.listen));
        match e.kind() {
            std::io::ErrorKind::AddrInUse => error.with_hint("another process has that port; choose one with --listen"),
            _ => error,
        }
    })?;
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    tokio::spawn(async move {
        interrupted().await;
        tracing::info!("stopping: running statements may finish");
        stop.cancel();
    });
    let options = wire::ServeOptions {
        max_connections: config.settings.integer("tycho.max_connections").unsigned_abs() as usize,
        ..wire::ServeOptions::default()
    };
    println!("listening on {}", listener.local_addr()?);
    wire::serve(Arc::clone(&engine), listener, options, shutdown).await
}

async fn addresses(listen: &str) -> Result<Vec<SocketAddr>> {
    let wrong = |why: String| {
        Error::new(Kind::Configuration, format!("cannot listen on `{listen}`: {why}"))
            .with_hint("write an address and a port, such as 127.0.0.1:5439")
    };
    let found: Vec<SocketAddr> = lookup_host(listen).await.map_err(|e| wrong(e.to_string()))?.collect();
    if found.is_empty() { Err(wrong("the name has no address".to_owned())) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_needs_a_port() {
        assert_eq!(addresses("127.0.0.1:5439").await.unwrap(), ["127.0.0.1:5439".parse().unwrap()]);
        let error = addresses("127.0.0.1").await.unwrap_err();
        assert!(error.message.starts_with("cannot listen on `127.0.0.1`"), "{error}");
    }
}
