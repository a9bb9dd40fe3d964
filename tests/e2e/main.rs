//! What is promised to users, against the real control plane: one program, so that its tests run side by side to the end.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/data.rs"]
mod data;
#[path = "../support/oracle.rs"]
mod oracle;
#[path = "../support/proxy.rs"]
mod proxy;
#[path = "../support/shake.rs"]
mod shake;
#[path = "../support/mod.rs"]
mod support;

mod churn;
mod closed_loop;
mod compare;
mod faults;
mod hollow;
mod hollow_deploy;
mod hollow_kubelet;
mod import;
mod preflight;
mod record;
mod record_azure;
mod record_files;
mod record_oracle;
mod record_store;
mod replay;
mod shards;
mod ties;
