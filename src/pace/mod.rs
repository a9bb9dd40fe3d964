//! Clocks, speed and due times. Only this module reads clocks, so everything else can be tested with its own.

mod clock;
mod dispatch;
mod timeline;

pub use clock::{Clock, ManualClock, SystemClock};
pub use dispatch::{Stop, dispatch};
pub use timeline::Timeline;
