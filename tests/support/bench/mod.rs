//! Measuring, and what is measured.

pub mod cases;
mod databases;
pub mod index;
mod link;
pub mod measure;
pub mod node;
mod scene;
