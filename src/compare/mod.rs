//! Runs of two schedulers on fresh clusters.
