//! One report value, written for terminals and machines.
