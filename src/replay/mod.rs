//! A reel played against a live scheduler.
