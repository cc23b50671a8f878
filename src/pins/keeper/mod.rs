//! A keeper: holds a share of an index within a quota, so that volunteers together hold all of it.
//!
//! [`share`] is the rule by which it chooses, and knows neither network nor disk; [`holders`] counts the other holders
//! that the rule asks for.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub, dead_code))]

pub mod holders;
pub mod share;
