//! A loopback proxy that can stop passing things on: what stands between a recorder and its API server, at its worst.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;

/// What becomes of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Bytes are passed on.
    Open,
    /// No byte passes and nobody is told: packets are dropped. Connections of that time stay dead for good.
    Silent,
    /// All connections are cut; each new one is answered 429. (To a client that speaks TLS that is no answer.)
    Busy,
}

/// The proxy; gone when this is dropped.
pub struct Proxy {
    /// Its address on loopback.
    pub port: u16,
    mode: watch::Sender<Mode>,
    task: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

const BUSY: &[u8] =
    b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

impl Proxy {
    /// Passes bytes on to a port of this machine; with `tls` encrypts them on the way.
    pub async fn start(to: u16, tls: Option<ClientConfig>) -> io::Result<Proxy> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let (mode, modes) = watch::channel(Mode::Open);
        let tls = tls.map(|config| TlsConnector::from(Arc::new(config)));
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, to, tls.clone(), modes.clone()));
            }
        });
        Ok(Proxy { port, mode, task })
    }

    /// Changes what becomes of connections.
    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

/// Serves a connection until it ends, or until the proxy is dropped.
async fn carry(mut client: TcpStream, to: u16, tls: Option<TlsConnector>, mut modes: watch::Receiver<Mode>) {
    if *modes.borrow_and_update() == Mode::Open {
        tokio::select! {
            // Either side may break the connection off.
            _ = pass(&mut client, to, tls) => return,
            _ = modes.changed() => {}
        }
    }
    if *modes.borrow() == Mode::Busy {
        // The client may have gone already.
        let _ = client.read(&mut [0; 4096]).await;
        let _ = client.write_all(BUSY).await;
        return;
    }
    // Open sockets, and silence.
    let _ = modes.wait_for(|mode| *mode == Mode::Busy).await;
}

async fn pass(client: &mut TcpStream, to: u16, tls: Option<TlsConnector>) -> io::Result<()> {
    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, to)).await?;
    match tls {
        Some(tls) => {
            let name = Ipv4Addr::LOCALHOST.into();
            let mut server = tls.connect(rustls::pki_types::ServerName::IpAddress(name), server).await?;
            copy_bidirectional(client, &mut server).await?;
        }
        None => drop(copy_bidirectional(client, &mut server).await?),
    }
    Ok(())
}
