//! The program from outside: its binary is run against servers that misbehave as told.
//!
//! `support` holds the actors, `cases` the sentences. Nothing here leaves this machine, and every port is one
//! that the kernel chose.

mod cases;
mod support;
