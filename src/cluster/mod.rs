//! A local control plane of stock binaries.
