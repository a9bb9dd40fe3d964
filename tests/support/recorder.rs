//! A recorder, or hollow nodes, as a process.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::Ran;

/// A process that runs until it is asked to end.
pub struct Recorder {
    child: Child,
    log: Arc<Mutex<String>>,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Recorder {
    pub fn spawn(mut command: Command) -> Recorder {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (into, stderr) = (log.clone(), BufReader::new(child.stderr.take().unwrap()));
        let reader = std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                *into.lock().unwrap() += &(line + "\n");
            }
        });
        Recorder { child, log, reader: Some(reader) }
    }

    /// Starts and waits until the first lists are in the reel.
    pub fn start(command: Command) -> Recorder {
        let mut recorder = Recorder::spawn(command);
        recorder.wait_for("recording ");
        recorder
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until the log has these words.
    pub fn wait_for(&mut self, words: &str) {
        self.until(|recorder| recorder.log().contains(words));
    }

    pub fn until(&mut self, mut done: impl FnMut(&Recorder) -> bool) {
        while !done(self) {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("it ended by itself: {status}\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    /// Waits for the end.
    pub fn end(mut self) -> Ran {
        let mut out = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        let code = self.child.wait().unwrap().code();
        self.reader.take().unwrap().join().unwrap();
        Ran { code, out, err: self.log() }
    }

    /// Asks for the end and waits for it.
    pub fn stop(self, signal: &str) -> Ran {
        self.signal(signal);
        self.end()
    }

    /// GET from the metrics server: status line and headers, and the body.
    pub fn get(&mut self, path: &str) -> String {
        self.wait_for("metrics on http://");
        let log = self.log();
        let address = log.split("metrics on http://").nth(1).unwrap().split('/').next().unwrap().to_owned();
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Waits until it says that it is ready.
    pub fn until_ready(&mut self) {
        while !self.get("/readyz").starts_with("HTTP/1.1 200") {
            assert!(self.is_running(), "it ended by itself\n{}", self.log());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// A metric of a recorder, without labels.
    pub fn metric(&mut self, name: &str) -> f64 {
        let page = self.get("/metrics");
        let line = page.lines().find_map(|line| line.strip_prefix(&format!("kubereel_record_{name} ")));
        line.unwrap_or_else(|| panic!("no {name} in\n{page}")).parse().unwrap()
    }

    /// Waits until a metric without labels is at least so much.
    pub fn until_metric(&mut self, name: &str, least: f64) {
        while self.metric(name) < least {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("it ended by itself: {status}\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
