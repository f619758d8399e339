//! Results as text: names made safe to print, plans, JSON. Values in, strings out.

pub mod diff;
pub mod json;
pub mod printable;
pub mod text;
pub mod time;
