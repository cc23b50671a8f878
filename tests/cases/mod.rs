//! The sentences, grouped by what they are about.

mod ahead;
mod contract;
mod database_index;
mod database_snapshot;
mod disagreements;
mod doctor;
mod fakes;
mod gather;
mod index_attacks;
mod index_audit;
mod index_refresh;
mod lookup;
mod review;
mod setup;
mod stats;
mod xfer;
mod xfer_database;
mod xfer_hostile;
mod xfer_index;
mod xfer_input;
mod xfer_kill;
mod xfer_kubo;
mod xfer_mirror;
mod xfer_network;
mod xfer_resume;
mod xfer_store;
