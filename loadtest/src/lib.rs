//! The load client bundled with fanwire.

pub mod compare;
pub mod floor;
