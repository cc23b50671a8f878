//! Measuring, and the measured cases.

pub mod bar;
pub mod cases;
mod cost;
mod crowd;
mod databases;
mod door;
pub mod haiku;
#[allow(dead_code, reason = "a part of it is used")]
#[path = "../hpkr.rs"]
mod hpkr;
pub mod index;
mod large;
mod lines;
pub mod measure;
mod mirrors;
mod miss;
pub mod node;
mod pending;
mod publish;
mod relay;
mod room;
mod scene;
mod small;
mod tls;
mod wire;
