use std::fmt;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use kube::client::Body;

use super::error::chain;
use crate::model::TraceTime;

/// No line is longer. An object is at most 1.5 MiB in etcd and grows by what JSON escapes.
const LONGEST: usize = 32 << 20;

/// How a stream of lines ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// The server closed it between two lines.
    Closed,
    /// It broke, perhaps in the middle of a line.
    Broken(String),
}

/// The body of a watch as lines, each stamped when the bytes arrived that completed it.
pub(super) struct Lines<B = Body> {
    body: B,
    /// When the latest bytes arrived.
    at: TraceTime,
    /// What has arrived and was not looked at.
    chunk: Bytes,
    /// The beginning of a line whose end has not arrived.
    partial: BytesMut,
}

impl<B> fmt::Debug for Lines<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").field("at", &self.at).finish_non_exhaustive()
    }
}

impl<B> Lines<B>
where
    B: BodyExt<Data = Bytes> + Unpin,
    B::Error: std::error::Error,
{
    pub(super) fn new(body: B) -> Lines<B> {
        Lines { body, at: TraceTime::ZERO, chunk: Bytes::new(), partial: BytesMut::new() }
    }

    /// The next line without its end. Dropping the future loses nothing.
    pub(super) async fn next(&mut self, stamp: &impl Fn() -> TraceTime) -> Result<(TraceTime, Bytes), Ended> {
        loop {
            if let Some(line) = self.take_line() {
                return Ok((self.at, line));
            }
            if self.partial.len() > LONGEST {
                return Err(Ended::Broken(format!("a line is longer than {LONGEST} bytes")));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    self.at = stamp();
                    self.chunk = frame.into_data().unwrap_or_default();
                }
                Some(Err(error)) => return Err(Ended::Broken(chain(&error))),
                None if self.partial.is_empty() => return Err(Ended::Closed),
                None => {
                    return Err(Ended::Broken("the stream ended in the middle of a line".to_owned()));
                }
            }
        }
    }

    fn take_line(&mut self) -> Option<Bytes> {
        let Some(end) = memchr::memchr(b'\n', &self.chunk) else {
            self.partial.extend_from_slice(&self.chunk);
            self.chunk.clear();
            return None;
        };
        let line = self.chunk.split_to(end + 1).slice(..end);
        if self.partial.is_empty() {
            return Some(line);
        }
        self.partial.extend_from_slice(&line);
        Some(self.partial.split().freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;
    use http_body_util::{StreamBody, combinators::UnsyncBoxBody};
    use std::sync::atomic::{AtomicU64, Ordering};

    /// A body that arrives in these pieces, and then breaks or ends.
    fn lines(pieces: &[&'static str], breaks: bool) -> Lines<UnsyncBoxBody<Bytes, std::io::Error>> {
        let data = |piece: &&'static str| Ok(http_body::Frame::data(Bytes::from_static(piece.as_bytes())));
        let mut frames: Vec<_> = pieces.iter().map(data).collect();
        if breaks {
            frames.push(Err(std::io::Error::other("reset")));
        }
        Lines::new(StreamBody::new(stream::iter(frames)).boxed_unsync())
    }

    async fn all(pieces: &[&'static str], breaks: bool) -> (Vec<(u64, String)>, Ended) {
        let (mut lines, now) = (lines(pieces, breaks), AtomicU64::new(0));
        let stamp = || TraceTime::from_nanos(now.fetch_add(1, Ordering::SeqCst));
        let mut seen = Vec::new();
        loop {
            match lines.next(&stamp).await {
                Ok((at, line)) => seen.push((at.as_nanos(), String::from_utf8(line.to_vec()).unwrap())),
                Err(ended) => return (seen, ended),
            }
        }
    }

    #[tokio::test]
    async fn lines_carry_the_time_of_the_piece_that_completed_them() {
        let (seen, ended) = all(&["a\nb", "b", "b\n", "\nc\n"], false).await;
        let expected = [(0, "a"), (2, "bbb"), (3, ""), (3, "c")].map(|(at, line)| (at, line.to_owned()));
        assert_eq!(seen, expected);
        assert!(matches!(ended, Ended::Closed));
    }

    #[tokio::test]
    async fn a_line_without_its_end_is_no_line() {
        for breaks in [false, true] {
            let (seen, ended) = all(&["a\nhalf of b"], breaks).await;
            assert_eq!(seen.len(), 1);
            assert!(matches!(ended, Ended::Broken(_)), "{ended:?}");
        }
    }

    #[tokio::test]
    async fn a_line_without_end_is_not_kept_for_ever() {
        let piece: &'static str = Box::leak("x".repeat(LONGEST).into_boxed_str());
        let (seen, ended) = all(&[piece, "x", "x\n"], false).await;
        assert_eq!(seen, []);
        assert!(matches!(ended, Ended::Broken(what) if what.contains("longer")));
    }
}
