//! The rsyn binary.
fn main() {}
