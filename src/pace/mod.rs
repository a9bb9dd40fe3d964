//! Clocks, speed, due times and lateness. Only this module reads clocks.
