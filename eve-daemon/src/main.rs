//! The program `eve-daemon`: parse, call, exit.

fn main() {}
