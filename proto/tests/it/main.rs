//! The example providers, driven from outside: by a client of this crate's own that speaks
//! go-plugin's protocol, and by the real `terraform` and `tofu`.

mod actions_and_lists;
mod applying;
mod cli;
mod config;
mod faults;
mod generated;
mod handshake;
mod planning;
mod plugin;
mod schemas;
mod states;
mod terraform;
