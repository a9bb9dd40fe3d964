//! A watch outlives its credentials: what the kubeconfig names is read again when the server refuses what was read before.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kubereel::k8s::{ConnectOptions, Interruption, Step, WatchLimits, Watcher, connect};
use kubereel::model::{POD, TraceTime};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// The token that the server takes, as a whole header line.
type Accepted = Arc<Mutex<String>>;

/// A server that knows one token, and ends every watch after a second.
async fn server() -> (u16, Accepted) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let accepted = Accepted::default();
    let known = accepted.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, known.clone()));
        }
    });
    (port, accepted)
}

/// Answers one request, and closes.
async fn serve(stream: TcpStream, accepted: Accepted) {
    let mut stream = BufReader::new(stream);
    let (mut head, mut line) = (String::new(), String::new());
    while stream.read_line(&mut line).await.unwrap() > 2 {
        head.push_str(&line.to_lowercase());
        line.clear();
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).await.unwrap();
    let known = accepted.lock().unwrap().clone();
    let answer = |status: &str, body: &str| {
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
    };
    let text = if !head.contains(&known) {
        answer("401 Unauthorized", r#"{"kind":"Status","reason":"Unauthorized","message":"token expired"}"#)
    } else if head.contains("sendinitialevents") {
        let end = json!({"k8s.io/initial-events-end": "true"});
        let bookmark = json!({"metadata": {"resourceVersion": "7", "annotations": end}});
        let line = json!({"type": "BOOKMARK", "object": bookmark}).to_string() + "\n";
        stream.write_all(answer("200 OK", &line).as_bytes()).await.unwrap();
        return;
    } else if head.contains("watch=true") {
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_owned()
    } else {
        answer("201 Created", "{}")
    };
    stream.write_all(text.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
}

fn kubeconfig(path: &Path, port: u16, user: &Value) {
    let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": format!("http://127.0.0.1:{port}")}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "users": [{"name": "u", "user": user}]});
    std::fs::write(path, config.to_string()).unwrap();
}

/// Watches with a first token, lets the server forget it, hands out a second one, and waits until the watch goes on.
async fn outlives(hand_out: impl Fn(&Path, u16, &str)) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kubeconfig");
    let (port, accepted) = server().await;
    "authorization: bearer first".clone_into(&mut accepted.lock().unwrap());
    hand_out(&path, port, "first");
    let target = connect(&ConnectOptions { kubeconfig: Some(path.clone()), context: None }).await.unwrap();
    let mut watcher = Watcher::new(target.session(), POD, WatchLimits::default(), || TraceTime::ZERO);
    assert_eq!(watcher.next().await.unwrap(), Step::ListStarted);
    assert!(matches!(watcher.next().await.unwrap(), Step::ListDone { .. }));
    "authorization: bearer second".clone_into(&mut accepted.lock().unwrap());
    hand_out(&path, port, "second");
    let step = watcher.next().await.unwrap();
    let told = matches!(&step, Step::Interrupted(Interruption::Disconnected(why)) if why.contains("401"));
    assert!(told, "{step:?}");
    assert!(matches!(watcher.next().await.unwrap(), Step::Complete { .. }));
}

#[tokio::test]
async fn a_token_that_was_replaced_in_the_kubeconfig() {
    outlives(|path, port, token| kubeconfig(path, port, &json!({"token": token}))).await;
}

#[tokio::test]
async fn a_token_of_a_program_that_does_not_say_when_it_expires() {
    outlives(|path, port, token| {
        let program = path.with_file_name("login");
        let credential = json!({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
            "status": {"token": token}});
        std::fs::write(&program, format!("#!/bin/sh\necho '{credential}'\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
        let exec = json!({"apiVersion": "client.authentication.k8s.io/v1", "command": program,
            "interactiveMode": "Never"});
        kubeconfig(path, port, &json!({"exec": exec}));
    })
    .await;
}
