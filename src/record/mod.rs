//! Watches to reel.
