//! What the distribution's own tools say: who called us, how pacman is configured, what its databases list.
//!
//! Everything here is read from this machine (`/proc`, `pacman-conf`, the sync directory). Nothing here talks to the
//! network, and nothing here believes a file that another unprivileged user could have written ([`trusted`]).

mod archive;
pub mod arguments;
pub mod caller;
mod desc;
mod kept;
mod package;
pub mod pacman;
pub mod pacman_conf;
pub mod question;
pub mod server;
pub mod syncdb;
pub mod trusted;
pub mod version;
