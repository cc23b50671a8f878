//! The sentences, grouped by what they are about.

mod fakes;
