use super::host::{Counts, Host};
use super::meter::{Histogram, Readings};
use crate::expose::{Exposed, Health, Page};

impl Exposed for Host {
    fn health(&self) -> Health {
        let counts = self.counts();
        if counts.registered == counts.nodes {
            return Health::Ready;
        }
        Health::Starting(format!("{} of {} nodes are registered\n", counts.registered, counts.nodes))
    }

    fn metrics(&self) -> String {
        let (nodes, pods) = self.readings();
        exposition(self.counts(), &nodes, &pods)
    }
}

/// What hollow nodes do, as Prometheus text. The names are documented in `docs/hollow.md`.
fn exposition(counts: Counts, nodes: &Readings, pods: &Readings) -> String {
    let both = [("node", nodes), ("pod", pods)];
    let mut page = Page::new("kubereel_hollow");
    page.one("nodes", "gauge", "Nodes of this process.", counts.nodes);
    page.one("nodes_registered", "gauge", "Of them registered.", counts.registered);
    page.one("pods", "gauge", "Pods on them.", counts.pods);
    page.one("queue_requests", "gauge", "Requests of pods that wait to be sent.", counts.queued);
    page.one("open_requests", "gauge", "Requests of pods without an answer yet.", counts.open);
    page.family("lease_lateness_seconds", "histogram", "From when a renewal was due to its sending.");
    histogram(&mut page, "lease_lateness_seconds", &[], &nodes.lease_lateness);
    page.one(
        "lease_lateness_longest_seconds",
        "gauge",
        "The latest renewal so far.",
        nodes.lease_lateness.longest,
    );
    page.family("request_seconds", "histogram", "From the sending of a request to its answer.");
    for (about, readings) in both {
        histogram(&mut page, "request_seconds", &[("about", about)], &readings.latency);
    }
    page.family("requests_total", "counter", "Requests by HTTP status, 0 for those without an answer.");
    for (about, readings) in both {
        for (status, count) in &readings.requests {
            page.sample("requests_total", &[("about", about), ("status", &status.to_string())], count);
        }
    }
    page.into_text()
}

fn histogram(page: &mut Page, name: &str, labels: &[(&str, &str)], histogram: &Histogram) {
    let bounds = histogram.cumulative().map(|(bound, count)| (bound.to_string(), count));
    for (bound, count) in bounds.chain([("+Inf".to_owned(), histogram.count())]) {
        let labels: Vec<_> = labels.iter().copied().chain([("le", bound.as_str())]).collect();
        page.sample(&format!("{name}_bucket"), &labels, count);
    }
    page.sample(&format!("{name}_sum"), labels, histogram.sum);
    page.sample(&format!("{name}_count"), labels, histogram.count());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hollow::meter::Meter;
    use std::time::Duration;

    #[test]
    fn a_page_that_prometheus_can_read() {
        let meter = Meter::default();
        meter.lease(Duration::from_millis(3));
        meter.request(Some(200), Duration::from_millis(20));
        meter.request(None, Duration::from_mins(1));
        let counts = Counts { nodes: 2, registered: 1, ..Counts::default() };
        let text = exposition(counts, &meter.read(), &Readings::default());
        for line in [
            "kubereel_hollow_nodes_registered 1",
            "kubereel_hollow_lease_lateness_seconds_bucket{le=\"0.001\"} 0",
            "kubereel_hollow_lease_lateness_seconds_bucket{le=\"+Inf\"} 1",
            "kubereel_hollow_lease_lateness_longest_seconds 0.003",
            "kubereel_hollow_request_seconds_count{about=\"node\"} 2",
            "kubereel_hollow_requests_total{about=\"node\",status=\"0\"} 1",
        ] {
            assert!(text.lines().any(|got| got == line), "{line} is not in\n{text}");
        }
        let families =
            text.lines().filter(|line| line.starts_with("# TYPE kubereel_hollow_request_seconds")).count();
        assert_eq!(families, 1);
    }
}
