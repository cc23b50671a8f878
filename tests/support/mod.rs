//! The actors of the scenarios. Each misbehaves as scripted and records its requests.

pub mod compression;
pub mod daemon;
pub mod endpoint;
pub mod hpkg;
pub mod index;
pub mod install;
mod json_tree;
pub mod keys;
pub mod kubo;
pub mod mirror;
pub mod mount;
pub mod pins;
pub mod proxy;
pub mod publisher;
mod queues;
pub mod repo;
pub mod run;
pub mod screens;
pub mod script;
pub mod server;
pub mod shapes;
pub mod terminal;
pub mod tls;
pub mod two;
pub mod world;

pub use compression::Compression;
pub use index::{FakeIndex, copy_of_index};
pub use keys::{Index, Keys};
pub use kubo::{BendKubo, FakeKubo};
pub use mirror::{Bend, FakeMirror};
pub use proxy::FakeProxy;
pub use publisher::Publisher;
pub use repo::{Package, database};
pub use script::Misbehaves;
pub use server::{dead_address, eventually};
pub use world::World;
