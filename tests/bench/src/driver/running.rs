//! Programs that run while something is measured, and are gone afterwards.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::yard::Yard;
use crate::process;

/// How long a program has until it listens.
const START_DEADLINE: Duration = Duration::from_secs(15);
/// How long a program has to end by itself.
const STOP_DEADLINE: Duration = Duration::from_secs(5);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// A program that listens. Ended when dropped.
pub struct Running {
    /// Its name in results.
    pub name: &'static str,
    /// Where clients connect.
    pub address: SocketAddr,
    child: Child,
}

impl Running {
    /// Starts the command and waits until it listens; what it writes goes to `NAME.log` in the yard.
    pub fn start(yard: &Yard, name: &'static str, address: SocketAddr, command: &mut Command) -> Result<Self> {
        let log = yard.file(&format!("{name}.log"));
        let out = File::options().create(true).append(true).open(&log).with_context(|| log.display().to_string())?;
        let child = command
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .with_context(|| format!("cannot start {name}: {}", command.get_program().display()))?;
        let mut running = Self { name, address, child };
        let deadline = Instant::now() + START_DEADLINE;
        while TcpStream::connect(address).is_err() {
            let ended = running.child.try_wait()?;
            if ended.is_some() || Instant::now() > deadline {
                let said = fs::read_to_string(&log).unwrap_or_default();
                let end = ended.map_or_else(|| "does not listen".to_owned(), |status| format!("ended: {status}"));
                bail!("{name} {end}\n{}", said.lines().rev().take(10).collect::<Vec<_>>().join("\n"));
            }
            thread::sleep(PAUSE);
        }
        Ok(running)
    }

    /// The program and its children.
    #[must_use]
    pub fn pids(&self) -> Vec<u32> {
        let mut pids = vec![self.child.id()];
        pids.extend(process::children(self.child.id()));
        pids
    }

    /// Resident memory in KB.
    #[must_use]
    pub fn resident_kb(&self) -> u64 {
        process::resident_kb(&self.pids())
    }

    /// False when it ended by itself.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // SIGTERM and not SIGKILL: a master takes its workers with it.
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            kill_process(pid, Signal::TERM).ok();
        }
        let deadline = Instant::now() + STOP_DEADLINE;
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                self.child.kill().ok();
                self.child.wait().ok();
                return;
            }
            thread::sleep(PAUSE);
        }
    }
}
