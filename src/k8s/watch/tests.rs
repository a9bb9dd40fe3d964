//! A watcher against a server that follows a script, on a paused clock.

use std::sync::{Arc, Mutex};

use futures::{StreamExt, stream};
use http_body_util::StreamBody;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::*;
use crate::model::POD;

/// How an answer ends.
#[derive(Debug, Clone, Copy)]
enum End {
    Closed,
    Broken,
    /// Nothing comes any more, not even an end.
    Silent,
}

struct Answer {
    status: u16,
    retry_after: Option<&'static str>,
    text: String,
    end: End,
}

fn ok(text: impl Into<String>, end: End) -> Answer {
    Answer { status: 200, retry_after: None, text: text.into(), end }
}

fn refusal(status: u16) -> Answer {
    let text = json!({"kind": "Status", "reason": "Because", "message": format!("no: {status}")}).to_string();
    Answer { status, retry_after: None, text, end: End::Closed }
}

fn pod(name: &str, rv: u32) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "resourceVersion": rv.to_string()}})
}

fn line(event: &str, object: &Value) -> String {
    format!("{}\n", json!({"type": event, "object": object}))
}

fn bookmark(rv: u32) -> String {
    line("BOOKMARK", &pod("", rv))
}

/// The end of a streamed list.
fn list_end(rv: u32) -> String {
    let annotations = json!({"k8s.io/initial-events-end": "true"});
    let object = json!({"metadata": {"resourceVersion": rv.to_string(), "annotations": annotations}});
    line("BOOKMARK", &object)
}

fn page(names: &[&str], next: &str) -> Answer {
    let items: Vec<_> = names.iter().map(|name| json!({"metadata": {"name": name}})).collect();
    let metadata = json!({"resourceVersion": "10", "continue": next});
    ok(json!({"metadata": metadata, "items": items}).to_string(), End::Closed)
}

/// What was asked, and when, in milliseconds.
type Asked = Arc<Mutex<Vec<(u128, String)>>>;

/// A watcher whose server gives these answers in turn, and 503 after the last.
fn against(answers: impl IntoIterator<Item = Answer>) -> (Watcher, Asked) {
    let (asked, start) = (Asked::default(), Instant::now());
    let answers: Arc<Mutex<VecDeque<Answer>>> = Arc::new(Mutex::new(answers.into_iter().collect()));
    let log = asked.clone();
    let service = tower::service_fn(move |request: http::Request<Body>| {
        log.lock().unwrap().push((start.elapsed().as_millis(), request.uri().to_string()));
        let answer = answers.lock().unwrap().pop_front().unwrap_or_else(|| refusal(503));
        async move { Ok::<_, tower::BoxError>(response(answer)) }
    });
    let client = kube::Client::new(service, "default");
    let stamp = move || TraceTime::from_nanos(start.elapsed().as_nanos() as u64);
    (Watcher::new(client, POD, WatchLimits::default(), stamp), asked)
}

fn response(answer: Answer) -> http::Response<impl http_body::Body<Data = Bytes, Error = std::io::Error>> {
    let data = [Ok(http_body::Frame::data(Bytes::from(answer.text)))];
    let end = match answer.end {
        End::Closed => stream::empty().boxed(),
        End::Broken => stream::iter([Err(std::io::Error::other("reset by peer"))]).boxed(),
        End::Silent => stream::pending().boxed(),
    };
    let mut response = http::Response::builder().status(answer.status);
    if let Some(seconds) = answer.retry_after {
        response = response.header("Retry-After", seconds);
    }
    response.body(StreamBody::new(stream::iter(data).chain(end))).unwrap()
}

/// The next steps, in short.
async fn steps(watcher: &mut Watcher, count: usize) -> Vec<String> {
    let mut seen = Vec::new();
    for _ in 0..count {
        seen.push(match watcher.next().await {
            Ok(Step::ListStarted) => "list".to_owned(),
            Ok(Step::Listed { object, .. }) => {
                format!("has {}", object["metadata"]["name"].as_str().unwrap())
            }
            Ok(Step::ListDone { rv, .. }) => format!("done at {rv}"),
            Ok(Step::Changed { verb, object, .. }) => {
                format!("{} {}", verb.as_str(), object["metadata"]["name"].as_str().unwrap())
            }
            Ok(Step::Complete { .. }) => "complete".to_owned(),
            Ok(Step::Interrupted(Interruption::Expired(_))) => "expired".to_owned(),
            Ok(Step::Interrupted(Interruption::Disconnected(_))) => "disconnected".to_owned(),
            Ok(Step::Interrupted(Interruption::Unreadable(_))) => "unreadable".to_owned(),
            Err(error) => format!("refused {}", error.status().unwrap()),
        });
    }
    seen
}

fn wanted(asked: &Asked, number: usize) -> String {
    asked.lock().unwrap()[number].1.clone()
}

/// A streamed list of one pod at version 10, then these lines.
fn streamed(then: &str, end: End) -> Answer {
    ok(format!("{}{}{then}", line("ADDED", &pod("a", 4)), list_end(10)), end)
}

#[tokio::test(start_paused = true)]
async fn a_streamed_list_goes_on_as_a_watch() {
    let (mut watcher, asked) = against([streamed(&line("MODIFIED", &pod("a", 12)), End::Silent)]);
    assert_eq!(steps(&mut watcher, 4).await, ["list", "has a", "done at 10", "modified a"]);
    let asked = asked.lock().unwrap();
    assert_eq!(asked.len(), 1);
    for part in ["sendInitialEvents=true", "resourceVersionMatch=NotOlderThan", "allowWatchBookmarks=true"] {
        assert!(asked[0].1.contains(part), "{}", asked[0].1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_without_streamed_lists_gives_pages() {
    let answers = [refusal(422), page(&["a"], "next"), page(&["b"], ""), ok(bookmark(15), End::Silent)];
    let (mut watcher, asked) = against(answers);
    let expected = ["list", "has a", "has b", "done at 10", "complete"];
    assert_eq!(steps(&mut watcher, 5).await, expected);
    assert!(wanted(&asked, 1).contains("limit=500&continue="));
    assert!(wanted(&asked, 2).contains("continue=next"));
    assert!(wanted(&asked, 3).contains("resourceVersion=10"));
}

#[tokio::test(start_paused = true)]
async fn pages_that_expire_begin_anew_and_others_are_asked_for_again() {
    let again = [page(&["a"], "next"), refusal(429), page(&["b"], "")];
    let answers = [refusal(400), page(&["a"], "old"), refusal(410)].into_iter().chain(again);
    let (mut watcher, asked) = against(answers);
    let expected = ["list", "has a", "list", "has a", "disconnected", "has b", "done at 10"];
    assert_eq!(steps(&mut watcher, 7).await, expected);
    assert!(wanted(&asked, 5).contains("continue=next"));
}

#[tokio::test(start_paused = true)]
async fn a_streamed_list_that_breaks_off_is_followed_by_a_paged_one() {
    for end in [End::Closed, End::Broken, End::Silent] {
        let half = ok(line("ADDED", &pod("a", 4)), end);
        let (mut watcher, asked) = against([half, page(&["a"], "")]);
        let expected = ["list", "has a", "disconnected", "list", "has a", "done at 10"];
        assert_eq!(steps(&mut watcher, 6).await, expected);
        assert!(wanted(&asked, 1).contains("limit="));
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_the_server_ends_goes_on_from_the_last_version() {
    let first = streamed(&format!("{}{}", line("DELETED", &pod("a", 12)), bookmark(20)), End::Closed);
    let (mut watcher, asked) = against([first, ok("", End::Silent)]);
    let expected = ["list", "has a", "done at 10", "deleted a", "complete", "complete"];
    assert_eq!(steps(&mut watcher, 6).await, expected);
    assert!(wanted(&asked, 1).contains("resourceVersion=20"));
}

#[tokio::test(start_paused = true)]
async fn a_line_cut_in_the_middle_comes_again() {
    let whole = line("MODIFIED", &pod("a", 12));
    let first = streamed(&whole[..40], End::Broken);
    let (mut watcher, asked) = against([first, ok(whole, End::Silent)]);
    let expected = ["list", "has a", "done at 10", "disconnected", "modified a"];
    assert_eq!(steps(&mut watcher, 5).await, expected);
    assert!(wanted(&asked, 1).contains("resourceVersion=10"));
}

#[tokio::test(start_paused = true)]
async fn silence_ends_a_connection_and_the_watch_goes_on() {
    let (mut watcher, asked) = against([streamed(&bookmark(11), End::Silent), ok("", End::Silent)]);
    let expected = ["list", "has a", "done at 10", "complete", "disconnected", "complete"];
    assert_eq!(steps(&mut watcher, 6).await, expected);
    let (at, path) = asked.lock().unwrap()[1].clone();
    assert!(path.contains("resourceVersion=11"), "{path}");
    assert!((150_000..152_000).contains(&at), "taken up again after {at} ms");
}

#[tokio::test(start_paused = true)]
async fn an_expired_version_leads_to_a_list_however_it_is_told() {
    let gone = line("ERROR", &json!({"kind": "Status", "code": 410, "message": "too old"}));
    for told in [ok(gone, End::Closed), refusal(410)] {
        let (mut watcher, _) = against([streamed("", End::Closed), told, streamed("", End::Silent)]);
        let expected = ["list", "has a", "done at 10", "expired", "list", "has a", "done at 10"];
        assert_eq!(steps(&mut watcher, 7).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn another_error_in_a_watch_is_survived_without_a_list() {
    let error = line("ERROR", &json!({"kind": "Status", "code": 500, "message": "etcd is away"}));
    let (mut watcher, asked) = against([streamed(&error, End::Closed), ok("", End::Silent)]);
    assert_eq!(steps(&mut watcher, 5).await[3..], ["disconnected", "complete"]);
    assert!(wanted(&asked, 1).contains("resourceVersion=10"));
}

#[tokio::test(start_paused = true)]
async fn garbage_leads_to_a_list_since_only_that_knows_what_it_was() {
    let garbage = "<html>502 Bad Gateway</html>\n";
    let (mut watcher, _) = against([streamed(garbage, End::Silent), streamed("", End::Silent)]);
    assert_eq!(steps(&mut watcher, 7).await[3..], ["unreadable", "list", "has a", "done at 10"]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_overloaded_gets_the_time_that_it_asks_for() {
    let storm = |status| Answer { retry_after: Some("30"), ..refusal(status) };
    let answers = [streamed("", End::Broken), storm(429), storm(503), refusal(500), ok("", End::Silent)];
    let (mut watcher, asked) = against(answers);
    let told = steps(&mut watcher, 8).await;
    assert_eq!(told[3..], ["disconnected", "disconnected", "disconnected", "disconnected", "complete"]);
    let at: Vec<_> = asked.lock().unwrap().iter().map(|(at, _)| *at).collect();
    assert!(at[2] - at[1] >= 30_000 && at[3] - at[2] >= 30_000, "{at:?}");
    assert!(at[4] - at[3] < 30_000, "{at:?}");
}

#[tokio::test(start_paused = true)]
async fn tries_become_rarer_and_never_end() {
    let (mut watcher, asked) = against([streamed("", End::Broken)]);
    steps(&mut watcher, 40).await;
    let at: Vec<_> = asked.lock().unwrap().iter().map(|(at, _)| *at).collect();
    let waits: Vec<_> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(waits[0] < 1_000, "{waits:?}");
    assert!(waits[10..].iter().all(|wait| (15_000..=30_001).contains(wait)), "{waits:?}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_ends_every_watch_at_once_is_not_asked_without_pause() {
    let answers = std::iter::once(streamed("", End::Broken)).chain((0..50).map(|_| ok("", End::Closed)));
    let (mut watcher, asked) = against(answers);
    steps(&mut watcher, 20).await;
    assert!(asked.lock().unwrap().last().unwrap().0 > 60_000);
}

#[tokio::test(start_paused = true)]
async fn what_may_not_be_read_is_refused() {
    let (mut watcher, _) = against([refusal(403)]);
    assert_eq!(steps(&mut watcher, 1).await, ["refused 403"]);
    let (mut watcher, _) = against([refusal(404), refusal(404)]);
    assert_eq!(steps(&mut watcher, 1).await, ["refused 404"]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_does_not_come_is_given_up() {
    let service = tower::service_fn(|_: http::Request<Body>| async {
        std::future::pending::<()>().await;
        Ok::<_, tower::BoxError>(http::Response::new(String::new()))
    });
    let client = kube::Client::new(service, "default");
    let mut watcher = Watcher::new(client, POD, WatchLimits::default(), || TraceTime::ZERO);
    assert_eq!(steps(&mut watcher, 2).await, ["disconnected", "disconnected"]);
}
