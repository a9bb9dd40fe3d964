use std::net::IpAddr;

use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;

/// The proxy that `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` ask for. kube 5.0 reads `HTTPS_PROXY` too,
/// but holds `NO_PROXY` against the proxy's own address.
pub(super) fn from_env(server: &Uri) -> Option<Uri> {
    choose(&Matcher::from_env(), server)
}

fn choose(matcher: &Matcher, server: &Uri) -> Option<Uri> {
    // As in Go's `golang.org/x/net/http/httpproxy`, which kubectl uses: this machine needs no proxy.
    if is_loopback(server.host()?) {
        return None;
    }
    matcher.intercept(server).map(|proxy| proxy.uri().clone())
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(server: &str) -> Option<String> {
        let matcher = Matcher::builder().https("http://proxy:3128").no(".corp,10.0.0.0/8").build();
        choose(&matcher, &server.parse().unwrap()).map(|uri| uri.to_string())
    }

    #[test]
    fn no_proxy_names_servers_and_this_machine_never_needs_one() {
        assert_eq!(proxy("https://api.example:6443").as_deref(), Some("http://proxy:3128/"));
        for direct in [
            "https://api.corp",
            "https://10.1.2.3:6443",
            "https://127.0.0.1:1",
            "https://[::1]:1",
            "https://localhost",
        ] {
            assert_eq!(proxy(direct), None, "{direct}");
        }
    }
}
