//! What happens when the directory, the network or a client misbehaves. The directory is a scripted
//! one, whose log of received binds is the oracle.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking with a message")]

mod drain;
mod hostile_clients;
mod idle_connections;
mod limits;
mod malformed_answers;
mod orphans;
mod outage;
mod proxy_protocol;
mod queue;
mod reload;
mod single_flight;
mod slow_reader;
mod stage;
mod start_tls;
mod time_to_live;
mod verdicts;
mod written_binds;
