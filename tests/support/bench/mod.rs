//! Measuring, and what is measured.

pub mod cases;
mod databases;
mod link;
pub mod measure;
mod scene;
