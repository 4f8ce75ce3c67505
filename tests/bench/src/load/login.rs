//! Logins: connect, bind with the right password, unbind.

use std::time::Instant;

use anyhow::{Result, bail};

use super::connection::Connection;
use super::outcome::Tally;
use super::{Phase, Shared};
use crate::wire;

pub(super) async fn work(shared: &Shared, tally: &mut Tally) -> Result<()> {
    loop {
        let phase = shared.phase();
        if phase == Phase::Stop || !shared.take() {
            return Ok(());
        }
        let user = shared.user(shared.next());
        let (name, password) = (shared.name(user), shared.password(user));
        let start = Instant::now();
        let mut connection = Connection::open(shared, 0, 2048).await?;
        let code = connection.bind(wire::FIRST_ID + 1, &name, &password).await?;
        let took = start.elapsed();
        if code != 0 {
            bail!("result code {code} instead of 0");
        }
        connection.write(&wire::message(wire::FIRST_ID + 2, &wire::unbind())).await?;
        drop(connection);
        if phase == Phase::Measure && shared.phase() == Phase::Measure {
            tally.done(took);
        }
    }
}
