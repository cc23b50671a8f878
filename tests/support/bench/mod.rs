//! Measuring, and what is measured.

pub mod cases;
pub mod measure;
mod scene;
