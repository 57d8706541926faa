//! Programs that embed eve: see the examples of this package, `cargo run -p eve-examples --example embed`.
