//! An API server that has pods and nothing else, and sends what it has as fast as it is taken.

use std::fmt::Write as _;
use std::sync::Arc;

use kubereel::model::Verb;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::life;

const SEED: u64 = 20_261_124;

/// Bytes that are sent at once.
const PIECE: usize = 64 << 10;

/// Objects of a page, as clients ask for them.
const PAGE: usize = 500;

/// What there is.
pub struct Feed {
    /// Objects of the first list.
    pods: Vec<String>,
    /// Lines of the watch that follows it.
    events: Vec<String>,
}

impl Feed {
    /// No pods at first, then these events.
    pub fn of_events(count: usize) -> Feed {
        let line = |verb: Verb, object: &str| {
            let event = verb.as_str().to_uppercase();
            format!("{{\"type\":\"{event}\",\"object\":{object}}}\n")
        };
        let events = life::Events::new(SEED, 2_000.0).take(count);
        Feed { pods: Vec::new(), events: events.map(|(event, object)| line(event.verb, &object)).collect() }
    }

    /// So many running pods, and no change of them. They are copies of fewer ones under other names.
    pub fn of_pods(count: usize) -> Feed {
        let mut models =
            life::Events::new(SEED, 2_000.0).filter(|(_, object)| object.contains("\"phase\":\"Running\""));
        let models: Vec<_> = models.by_ref().take(count.min(400)).collect();
        let pod = |number: usize| {
            let (event, object) = &models[number % models.len()];
            let copy = object.replace(event.key.name.as_str(), &format!("{}-{number}", event.key.name));
            copy.replace(event.uid.as_str(), &format!("{}{number:08}", &event.uid[8..]))
        };
        Feed { pods: (0..count).map(pod).collect(), events: Vec::new() }
    }

    /// Bytes of all objects.
    pub fn bytes(&self) -> usize {
        self.pods.iter().chain(&self.events).map(String::len).sum()
    }

    /// Serves on a port of its own until the program ends.
    pub async fn serve(self: Arc<Feed>) -> std::io::Result<u16> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let feed = self.clone();
                // A client that goes away is done.
                tokio::spawn(async move { drop(feed.answer_all(stream).await) });
            }
        });
        Ok(port)
    }

    async fn answer_all(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        loop {
            let (mut request, mut line) = (String::new(), String::new());
            stream.read_line(&mut request).await?;
            while stream.read_line(&mut line).await? > 2 {
                line.clear();
            }
            if request.contains("watch=") {
                return self.watch(stream.get_mut(), request.contains("sendInitialEvents=true")).await;
            }
            let page = self.page(&request);
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                page.len()
            );
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(page.as_bytes()).await?;
        }
    }

    /// The page that a request asks for; its token is the number of the first object.
    fn page(&self, request: &str) -> String {
        let token = request.split("continue=").nth(1).unwrap_or_default();
        let digits: String = token.chars().take_while(char::is_ascii_digit).collect();
        let from: usize = digits.parse().unwrap_or(0);
        let to = (from + PAGE).min(self.pods.len());
        let next = if to < self.pods.len() { to.to_string() } else { String::new() };
        let metadata = format!(r#"{{"resourceVersion":"1000000","continue":"{next}"}}"#);
        let items = self.pods[from..to].join(",");
        format!(r#"{{"kind":"PodList","apiVersion":"v1","metadata":{metadata},"items":[{items}]}}"#)
    }

    async fn watch(&self, stream: &mut TcpStream, listing: bool) -> std::io::Result<()> {
        stream
            .write_all(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
            )
            .await?;
        let mut piece = String::with_capacity(2 * PIECE);
        if listing {
            for pod in &self.pods {
                // Writing to a string cannot fail.
                let _ = writeln!(piece, "{{\"type\":\"ADDED\",\"object\":{pod}}}");
                send_full(stream, &mut piece, PIECE).await?;
            }
            piece.push_str(LIST_END);
        }
        for event in &self.events {
            piece.push_str(event);
            send_full(stream, &mut piece, PIECE).await?;
        }
        send_full(stream, &mut piece, 1).await?;
        // The watch stays open.
        std::future::pending().await
    }
}

const LIST_END: &str = concat!(
    r#"{"type":"BOOKMARK","object":{"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"1000000","#,
    r#""annotations":{"k8s.io/initial-events-end":"true"}},"spec":{"containers":[]}}}"#,
    "\n"
);

/// Sends a piece as an HTTP chunk once it has so many bytes.
async fn send_full(stream: &mut TcpStream, piece: &mut String, enough: usize) -> std::io::Result<()> {
    if piece.len() >= enough {
        stream.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).await?;
        piece.push_str("\r\n");
        stream.write_all(piece.as_bytes()).await?;
        piece.clear();
    }
    Ok(())
}
