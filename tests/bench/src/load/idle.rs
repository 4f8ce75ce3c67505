//! Connections that do nothing: what one costs the server in memory.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::connection::Connection;
use super::outcome::{Outcome, Tally};
use super::{Group, Shared, Snapshot};
use crate::process;

/// Connections that are being opened at once.
const OPENING: usize = 64;

pub(super) async fn hold(shared: &Arc<Shared>, groups: &[Group]) -> Result<Outcome> {
    let before = Snapshot::take(groups)?;
    let resident_before: Vec<u64> = groups.iter().map(|group| process::resident_kb(&group.pids)).collect();
    let mut tally = Tally::new()?;
    let permits = Arc::new(Semaphore::new(OPENING));
    let mut opening = JoinSet::new();
    for number in 0..shared.plan.conns {
        let (shared, permits) = (Arc::clone(shared), Arc::clone(&permits));
        opening.spawn(async move {
            let _permit = permits.acquire_owned().await?;
            let start = Instant::now();
            // The generator's own memory is not the question, so that its buffer may be tiny.
            let connection = Connection::open(&shared, number, 1).await?;
            anyhow::Ok((connection, start.elapsed()))
        });
    }
    let mut held = Vec::with_capacity(shared.plan.conns);
    while let Some(opened) = opening.join_next().await {
        match opened.context("a worker panicked")? {
            Ok((connection, took)) => {
                tally.done(took);
                held.push(connection);
            }
            Err(error) => tally.failed(&format!("{error:#}")),
        }
    }
    tokio::time::sleep(Duration::from_secs_f64(shared.plan.secs)).await;
    let after = Snapshot::take(groups)?;
    let mut outcome = Outcome::new(&tally, groups, &before, &after);
    for (group, resident) in groups.iter().zip(resident_before) {
        if let Some(watched) = outcome.watched.get_mut(&group.name) {
            watched.rss_kb_before = resident;
        }
    }
    Ok(outcome)
}
