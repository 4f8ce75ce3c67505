//! Failing binds, one after the other on one connection.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::connection::Connection;
use super::outcome::Tally;
use super::{Phase, Shared};
use crate::wire;

pub(super) async fn work(shared: &Shared, worker: usize, tally: &mut Tally) -> Result<()> {
    let plan = &shared.plan;
    let mut connection = Connection::open(shared, worker, 4096).await?;
    let mut id = wire::FIRST_ID;
    let mut name = shared.name(shared.user(worker as u64));
    let mut password = plan.badpw.clone();
    loop {
        let phase = shared.phase();
        if phase == Phase::Stop || !shared.take() {
            return Ok(());
        }
        if plan.rotate {
            let number = shared.next();
            name = shared.name(shared.user(number));
            password = format!("{}{number}X", plan.badpw);
        }
        if plan.pace_us > 0 {
            tokio::time::sleep(Duration::from_micros(plan.pace_us)).await;
        }
        id += 1;
        let start = Instant::now();
        let code = connection.bind(id, &name, &password).await?;
        if code != plan.expect {
            bail!("result code {code} instead of {}", plan.expect);
        }
        if phase == Phase::Measure && shared.phase() == Phase::Measure {
            tally.done(start.elapsed());
        }
    }
}
