//! Child processes: one process group each, output to a file, ended when dropped.

use std::fs::File;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Once;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::process::{Pid, Signal};

use crate::{reaper, wait};

/// Logs of the processes that are running, for the report of a failing test.
static LOGS: Mutex<Vec<(String, PathBuf)>> = Mutex::new(Vec::new());

/// How many lines of each log a failing test shows.
const SHOWN_LINES: usize = 15;
/// And how much of each line.
const SHOWN_CHARACTERS: usize = 400;

/// A running server.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    ended: Option<ExitStatus>,
}

impl Process {
    /// Starts `command` in a process group of its own, with standard output and standard error
    /// appended to `log`.
    pub fn start(name: &str, command: &mut Command, log: &Path) -> Self {
        show_logs_on_panic();
        let output = File::options().create(true).append(true).open(log).expect("open the log file");
        let errors = output.try_clone().expect("duplicate the log file's descriptor");
        let child = command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("start {name} ({}): {error}", command.get_program().display()));
        reaper::end_group(child.id());
        LOGS.lock().push((name.to_owned(), log.to_owned()));
        Self { name: name.to_owned(), child, log: log.to_owned(), ended: None }
    }

    /// The process ID.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What the process has written so far.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// The exit status, when the process has ended by itself.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("ask for the state of a child");
        }
        self.ended
    }

    /// Waits until `ready` holds; panics with the log's end when the process ends before.
    pub fn wait_until(&mut self, what: &str, limit: Duration, mut ready: impl FnMut() -> bool) {
        let name = self.name.clone();
        wait::until_true(&format!("{name}: {what}"), limit, || {
            if let Some(status) = self.exited() {
                panic!("{name} ended with {status} before {what}:\n{}", tail(&self.log));
            }
            ready()
        });
    }

    /// Sends `signal` to the process alone.
    pub fn signal(&self, signal: Signal) {
        rustix::process::kill_process(pid(self.child.id()), signal).expect("signal a running child");
    }

    /// Stops (SIGSTOP) every process of the group: a server that hangs with its sockets open.
    pub fn freeze(&self) {
        rustix::process::kill_process_group(pid(self.child.id()), Signal::STOP).expect("stop the process group");
    }

    /// Continues after [`Process::freeze`].
    pub fn thaw(&self) {
        rustix::process::kill_process_group(pid(self.child.id()), Signal::CONT).expect("continue the process group");
    }

    /// Waits for the process to end by itself.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let name = self.name.clone();
        wait::until(&format!("the end of {name}"), limit, || self.exited())
    }

    /// Resident memory in bytes (`VmRSS`).
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("read /proc");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a VmRSS line");
        let kib: u64 = line.trim().trim_end_matches(" kB").trim().parse().expect("a number of kB");
        kib * 1024
    }

    /// Ends the process group at once.
    pub fn kill(&mut self) {
        let group = pid(self.child.id());
        // Fails only when no process of the group is left, which is what is wanted.
        let _gone = rustix::process::kill_process_group(group, Signal::KILL);
        if self.ended.is_none() {
            self.ended = self.child.wait().ok();
        }
        reaper::forget_group(self.child.id());
        LOGS.lock().retain(|(_, log)| *log != self.log);
    }

    /// How the process ended, for a message.
    #[must_use]
    pub fn describe(status: ExitStatus) -> String {
        match (status.code(), status.signal()) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => "unknown end".to_owned(),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs `command` to its end and returns its standard output; panics with everything it wrote when
/// it fails.
pub fn run(command: &mut Command) -> String {
    let (status, output) = outcome(command);
    assert!(status.success(), "{:?} ended with {status}:\n{output}", command.get_program());
    output
}

/// Runs `command` to its end; its exit status, and what it wrote on both outputs.
pub fn outcome(command: &mut Command) -> (ExitStatus, String) {
    let output = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("run {}: {error}", command.get_program().display()));
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    (output.status, text)
}

fn pid(id: u32) -> Pid {
    i32::try_from(id).ok().and_then(Pid::from_raw).expect("a process ID")
}

fn tail(log: &Path) -> String {
    let text = String::from_utf8_lossy(&std::fs::read(log).unwrap_or_default()).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    let shown = &lines[lines.len().saturating_sub(SHOWN_LINES)..];
    shown.iter().map(|line| line.chars().take(SHOWN_CHARACTERS).collect::<String>()).collect::<Vec<_>>().join("\n")
}

/// A failing test shows the end of every running server's log.
fn show_logs_on_panic() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            before(panic);
            // A panic may come while the list is locked; a report is not worth a deadlock.
            let Some(logs) = LOGS.try_lock() else { return };
            for (name, log) in logs.iter() {
                eprintln!("--- {name} ({}) ends:\n{}", log.display(), tail(log));
            }
        }));
    });
}
