//! A submitter against a server that follows a script, on a paused clock.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use kube::client::Body;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::*;
use crate::model::{Json, NODE, POD};

/// What the server does with a request.
#[derive(Debug, Clone)]
enum Does {
    Answers(u16, Value),
    /// 429, to come again after so many seconds.
    SendsAway(&'static str),
    Breaks,
    /// Answers 200 after so many seconds.
    IsSlow(u64),
}

/// What was asked, and when, in milliseconds.
type Asked = Arc<Mutex<Vec<(u128, String)>>>;

struct Scripted {
    submitter: Submitter,
    asked: Asked,
    start: Instant,
}

/// A submitter whose server does this in turn, and answers 200 after that.
fn against(script: impl IntoIterator<Item = Does>, at_once: usize, patience: Duration) -> Scripted {
    let (asked, start) = (Asked::default(), Instant::now());
    let script: Arc<Mutex<VecDeque<Does>>> = Arc::new(Mutex::new(script.into_iter().collect()));
    let log = asked.clone();
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let what = format!("{} {}", request.method(), request.uri().path());
        log.lock().unwrap().push((start.elapsed().as_millis(), what));
        let does = script.lock().unwrap().pop_front().unwrap_or_else(|| Does::Answers(200, json!({})));
        respond(does)
    });
    let client = kube::Client::new(service, "default");
    let stamp: Stamp = Arc::new(move || TraceTime::from_nanos(start.elapsed().as_nanos() as u64));
    let patience = Patience { within: patience, goes_on: Arc::new(|| true) };
    Scripted { submitter: Submitter::start(&client, at_once, &stamp).patient(patience), asked, start }
}

async fn respond(does: Does) -> Result<http::Response<String>, tower::BoxError> {
    let answer = |status: u16, body: Value| http::Response::builder().status(status).body(body.to_string());
    Ok(match does {
        Does::Answers(status, body) => answer(status, body)?,
        Does::SendsAway(seconds) => {
            let answer = http::Response::builder().status(429).header("Retry-After", seconds);
            answer.body("Too many requests, please try again later.".to_owned())?
        }
        Does::Breaks => return Err("connection refused".into()),
        Does::IsSlow(seconds) => {
            sleep(Duration::from_secs(seconds)).await;
            answer(200, json!({}))?
        }
    })
}

impl Scripted {
    async fn call(&self, request: Request) -> Answer {
        self.submitter.call(&key("web"), request).await.unwrap()
    }

    fn asked(&self) -> Vec<String> {
        self.asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .map(|(_, what)| what.clone())
            .collect()
    }
}

fn key(name: &str) -> ObjectKey {
    ObjectKey { kind: "Pod".into(), namespace: Some("shop".into()), name: name.into() }
}

fn pod(annotation: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "web", "namespace": "shop", "annotations": {"kubereel.dev/id": annotation}}})
}

fn create() -> Request {
    Request::create(&POD, &Json::from(pod("mine")))
}

const MINUTE: Duration = Duration::from_mins(1);

#[tokio::test(start_paused = true)]
async fn a_storm_of_429_is_sat_out_and_the_server_is_left_alone_for_as_long_as_it_asks() {
    let server = against([Does::SendsAway("7"), Does::SendsAway("3")], 4, MINUTE);
    let answer = server.call(create()).await;
    assert!(answer.result.is_ok());
    assert_eq!((answer.retries, answer.sent), (2, TraceTime::ZERO));
    assert!(server.start.elapsed() >= Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_restarts_is_waited_for() {
    let busy =
        Does::Answers(503, json!({"kind": "Status", "reason": "ServiceUnavailable", "message": "starting"}));
    let server = against([Does::Breaks, Does::Breaks, busy], 4, MINUTE);
    let answer = server.call(create()).await;
    assert!(answer.result.is_ok());
    assert_eq!(answer.retries, 3);
}

#[tokio::test(start_paused = true)]
async fn patience_ends_and_what_the_server_said_last_is_the_answer() {
    let server = against(std::iter::repeat_n(Does::SendsAway("20"), 10), 4, MINUTE);
    let answer = server.call(create()).await;
    assert_eq!(answer.result.unwrap_err().status(), Some(429));
    assert_eq!(answer.retries, 2);
    assert!(server.start.elapsed() <= MINUTE);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_stopped_tries_no_more() {
    let mut server = against(std::iter::repeat_n(Does::Breaks, 100), 4, MINUTE);
    let start = server.start;
    let goes_on = Arc::new(move || start.elapsed() < Duration::from_secs(5));
    server.submitter = server.submitter.clone().patient(Patience { within: MINUTE, goes_on });
    assert!(server.call(create()).await.result.is_err());
    assert!(server.start.elapsed() < Duration::from_secs(6));
}

#[tokio::test(start_paused = true)]
async fn what_a_server_does_not_take_is_not_tried_again() {
    for status in [400, 403, 404, 409, 422] {
        let server = against([Does::Answers(status, json!({"kind": "Status", "message": "no"}))], 4, MINUTE);
        let answer = server.call(create()).await;
        assert_eq!((answer.result.unwrap_err().status(), answer.retries), (Some(status), 0));
        assert_eq!(server.asked().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_creation_whose_answer_was_lost_finds_its_own_object() {
    let exists = Does::Answers(409, json!({"kind": "Status", "reason": "AlreadyExists"}));
    let server = against([Does::Breaks, exists.clone(), Does::Answers(200, pod("mine"))], 4, MINUTE);
    let answer = server.call(create()).await;
    assert_eq!(answer.result.unwrap().body["metadata"]["name"].as_str(), Some("web"));
    let path = "/api/v1/namespaces/shop/pods";
    let asked = [format!("POST {path}"), format!("POST {path}"), format!("GET {path}/web")];
    assert_eq!(server.asked(), asked);
    let server = against([Does::Breaks, exists, Does::Answers(200, pod("another's"))], 4, MINUTE);
    assert_eq!(server.call(create()).await.result.unwrap_err().status(), Some(409));
}

#[tokio::test(start_paused = true)]
async fn a_deletion_whose_answer_was_lost_finds_nothing_left() {
    let gone = Does::Answers(404, json!({"kind": "Status", "reason": "NotFound"}));
    let server = against([Does::Breaks, gone.clone()], 4, MINUTE);
    assert!(server.call(Request::delete(&POD, &key("web"), None, None)).await.result.is_ok());
    let server = against([gone], 4, MINUTE);
    assert!(server.call(Request::delete(&POD, &key("web"), None, None)).await.result.is_err());
}

#[tokio::test(start_paused = true)]
async fn five_seconds_of_latency_show_as_waiting_once_all_submitters_are_busy() {
    let server = against(std::iter::repeat_n(Does::IsSlow(5), 6), 2, MINUTE);
    let (tell, mut told) = unbounded_channel();
    for n in 0..6 {
        let tell = tell.clone();
        server.submitter.submit(&key(&n.to_string()), create(), move |answer| tell.send(answer).unwrap());
    }
    let mut sent = Vec::new();
    for _ in 0..6 {
        sent.push(told.recv().await.unwrap().sent.as_nanos() / 1_000_000_000);
    }
    assert_eq!(sent, [0, 0, 5, 5, 10, 10]);
    let waited = server.submitter.take_longest_wait();
    assert!(waited >= Duration::from_secs(10), "{waited:?}");
    assert_eq!(server.submitter.take_longest_wait(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn waiting_for_an_earlier_request_about_the_same_object_is_not_saturation() {
    let server = against([Does::IsSlow(5)], 2, MINUTE);
    let (tell, mut told) = unbounded_channel();
    for _ in 0..2 {
        let tell = tell.clone();
        server.submitter.submit(&key("web"), create(), move |answer| tell.send(answer).unwrap());
    }
    assert_eq!(told.recv().await.unwrap().sent, TraceTime::ZERO);
    assert!(told.recv().await.unwrap().sent >= TraceTime::from_millis(5_000));
    assert_eq!(server.submitter.take_longest_wait(), Duration::ZERO);
    assert_eq!(server.submitter.open_requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn requests_leave_in_the_order_in_which_they_were_handed_over() {
    let server = against([], 64, MINUTE);
    let (tell, mut told) = unbounded_channel();
    for n in 0..500 {
        let (tell, node) = (tell.clone(), json!({"metadata": {"name": n.to_string()}}));
        let request = Request::put(format!("{}/{n}", NODE.path()), &node);
        server.submitter.submit(&key(&n.to_string()), request, move |_| tell.send(()).unwrap());
    }
    for _ in 0..500 {
        told.recv().await.unwrap();
    }
    let expected: Vec<String> = (0..500).map(|n| format!("PUT /api/v1/nodes/{n}")).collect();
    assert_eq!(server.asked(), expected);
}
