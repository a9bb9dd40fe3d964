//! Hollow nodes: a pure state machine and a driver.
