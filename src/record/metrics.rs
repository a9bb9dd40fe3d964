use super::series::{Snapshot, Status};
use crate::expose::{Exposed, Health, Page};

impl Exposed for Status {
    fn health(&self) -> Health {
        let now = self.snapshot();
        match now.failure {
            Some(failure) => Health::Failed(failure),
            None if now.ready => Health::Ready,
            None => Health::Starting("the first lists are not complete\n".to_owned()),
        }
    }

    fn metrics(&self) -> String {
        exposition(&self.snapshot())
    }
}

/// The recording as Prometheus text (exposition format 0.0.4). The names are documented in `docs/recording.md`.
pub fn exposition(now: &Snapshot) -> String {
    let mut page = Page::new("kubereel_record");
    page.family("events_total", "counter", "Object events written, the first state of each file included.");
    for (kind, verbs) in &now.total.events {
        for (verb, count) in verbs {
            page.sample("events_total", &[("kind", kind), ("verb", verb)], count);
        }
    }
    page.family("gaps_total", "counter", "Stretches in which events may be missing.");
    for ((kind, reason), count) in &now.total.gaps {
        page.sample("gaps_total", &[("kind", kind), ("reason", reason.as_str())], count);
    }
    page.family("objects", "gauge", "Objects there now.");
    for (kind, count) in &now.objects {
        page.sample("objects", &[("kind", kind)], count);
    }
    let uploads = &now.uploads;
    page.one("records_total", "counter", "Records written, of all types.", now.total.records);
    page.one("written_bytes_total", "counter", "Bytes written to reels.", now.total.bytes);
    page.one("queue_records", "gauge", "Records that wait for the disk.", now.total.queued);
    page.one("lag_seconds", "gauge", "How long the oldest of them has waited.", now.lag.as_secs_f64());
    page.one("files_sealed_total", "counter", "Files sealed.", now.files);
    page.one("files_removed_total", "counter", "Files removed because there are newer ones.", now.removed);
    page.one("uploads_total", "counter", "Files uploaded and verified.", uploads.done);
    page.one(
        "upload_failures_total",
        "counter",
        "Uploads that failed and are tried again.",
        uploads.failures,
    );
    page.one("uploads_waiting", "gauge", "Sealed files that wait for the store.", uploads.waiting);
    page.one("uploads_waiting_bytes", "gauge", "Their bytes.", uploads.waiting_bytes);
    page.one("ready", "gauge", "1 once the first lists are in, 0 after a failure.", u8::from(now.ready));
    page.into_text()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::GapReason;
    use std::collections::BTreeMap;
    use std::time::Duration;

    #[test]
    fn a_page_that_prometheus_can_read() {
        let mut now = Snapshot { ready: true, lag: Duration::from_millis(1500), ..Snapshot::default() };
        now.total.events.insert("Pod".to_owned(), BTreeMap::from([("added".to_owned(), 3)]));
        now.total.gaps.insert(("Odd\"kind".to_owned(), GapReason::Expired), 1);
        let text = exposition(&now);
        for line in [
            "# TYPE kubereel_record_events_total counter",
            "kubereel_record_events_total{kind=\"Pod\",verb=\"added\"} 3",
            "kubereel_record_gaps_total{kind=\"Odd\\\"kind\",reason=\"expired\"} 1",
            "kubereel_record_lag_seconds 1.5",
            "kubereel_record_ready 1",
        ] {
            assert!(text.lines().any(|got| got == line), "{line} is not in\n{text}");
        }
        assert!(text.ends_with('\n'));
    }
}
