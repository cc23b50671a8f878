//! The program from outside: its binary is run against misbehaving servers.
//!
//! `support` holds the actors, `cases` the scenarios. Nothing here leaves this machine, and the kernel chooses
//! every port.

mod cases;
mod support;
