//! Quantiles and tests over numbers. Pure; the source of every formula stands at its function.
