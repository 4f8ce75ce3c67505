//! Searches for one entry, `--depth` of them in flight on each connection.

use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::connection::Connection;
use super::outcome::Tally;
use super::{Phase, Shared};
use crate::wire;

pub(super) async fn work(shared: &Shared, worker: usize, tally: &mut Tally) -> Result<()> {
    let depth = shared.plan.depth.max(1);
    let mut connection = Connection::open(shared, worker, 64 * 1024).await?;
    let user = shared.user(worker as u64);
    let code = connection.bind(wire::FIRST_ID + 1, &shared.name(user), &shared.password(user)).await?;
    if code != 0 {
        bail!("the bind got result code {code}");
    }

    // One request is prepared; each one sent is a copy with its own message ID.
    let request = wire::message(wire::FIRST_ID, &wire::base_search(&shared.name(user), &[]));
    let id_at = wire::header_length(&request) + 2;
    // At most `depth` are in flight, so that many slots tell them apart by the low bits of the ID.
    let mut sent = vec![Instant::now(); depth.next_power_of_two()];
    let mask = sent.len() - 1;
    let mut next = wire::FIRST_ID + 16;
    let mut out = Vec::with_capacity(request.len() * depth);
    let mut wanted = depth;
    loop {
        let phase = shared.phase();
        if phase == Phase::Stop {
            return Ok(());
        }
        if wanted > 0 {
            out.clear();
            let now = Instant::now();
            for _ in 0..wanted {
                let start = out.len() + id_at;
                out.extend_from_slice(&request);
                out[start..start + 4].copy_from_slice(&next.to_be_bytes());
                sent[next as usize & mask] = now;
                next += 1;
            }
            wanted = 0;
            connection.write(&out).await?;
        }
        connection.read_more().await?;
        let mut arrived = None;
        while let Some(response) = connection.buffered()? {
            let Some(code) = response.code else { continue };
            if response.tag != wire::SEARCH_DONE || code != 0 {
                bail!("unexpected response: tag {:#x}, result code {code}", response.tag);
            }
            wanted += 1;
            if phase == Phase::Measure {
                let arrived = arrived.get_or_insert_with(Instant::now);
                let sent = sent.get(response.id as usize & mask).context("no such request")?;
                tally.done(arrived.duration_since(*sent));
            }
        }
    }
}
