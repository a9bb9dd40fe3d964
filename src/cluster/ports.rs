use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

use super::ClusterError;

/// Ports of the loopback address that were free a moment ago. All are held until the last is found, so that they differ.
pub(super) fn free<const N: usize>() -> Result<[u16; N], ClusterError> {
    let failed = || ClusterError::io("find a free port on", Path::new("127.0.0.1"));
    let mut held = Vec::with_capacity(N);
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed())?;
        *port = listener.local_addr().map_err(failed())?.port();
        held.push(listener);
    }
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_differ_and_can_be_bound() {
        let ports: [u16; 8] = free().unwrap();
        let distinct: std::collections::BTreeSet<u16> = ports.into_iter().collect();
        assert_eq!(distinct.len(), 8);
        assert!(!distinct.contains(&0));
    }
}
