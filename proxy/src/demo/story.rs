//! The acts of the demo, in order.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::client::{Client, ClientError};
use super::screen::{Screen, Tone};
use super::{DemoError, StartedProxy};
use crate::codec::code;
use crate::directory::entry::{default_entries, fold_name};
use crate::directory::{BindRecord, Options, PasswordKind, Policy, RunningDirectory};

const ALICE: &str = "uid=alice,ou=people,dc=example,dc=org";
const RIGHT: &str = "spring";
const STALE: &str = "winter";
/// How often the phone tries, each way.
const ATTEMPTS: u32 = 20;
/// How many connections it uses through the proxy.
const CONNECTIONS: u32 = 4;
/// Failures that lock an account.
const LIMIT: u32 = 3;
/// How often the directory's log is looked at while serving.
const LOOK: Duration = Duration::from_millis(200);

/// The directory of the story: alice's password used to be the one that her phone still sends.
pub(super) fn directory() -> Options {
    let mut entries = default_entries();
    for entry in entries.iter_mut().filter(|entry| entry.dn == ALICE) {
        entry.password = Some(RIGHT.as_bytes().to_vec());
        entry.former_passwords = vec![STALE.as_bytes().to_vec()];
    }
    Options {
        entries,
        policy: Policy { max_failures: Some(LIMIT), tell_locked: true, ..Policy::default() },
        ..Options::default()
    }
}

pub(super) fn introduce(screen: &mut Screen<'_>, directory: &RunningDirectory) -> io::Result<()> {
    screen.title("bindproxy demo")?;
    let address = format!("ldap://{}", directory.addr());
    screen.fact("the directory", &format!("{address}, locks an account after {LIMIT} failures"), Tone::Plain)?;
    screen.fact("alice", "has a new password; her phone still sends the old one", Tone::Plain)
}

/// The phone at the directory itself. Returns how many failed binds the directory counted.
pub(super) async fn without_proxy(screen: &mut Screen<'_>, directory: &RunningDirectory) -> Result<u64, DemoError> {
    screen.title(&format!("1. The phone tries {ATTEMPTS} times, straight at the directory"))?;
    let who = "the phone, at the directory,";
    let mut phone = connect(directory.addr(), who).await?;
    for _ in 0..ATTEMPTS {
        phone.bind(ALICE, STALE).await.map_err(|source| DemoError::Client { who, source })?;
    }
    let direct = directory.failures(ALICE);
    report(screen, directory, direct)?;
    let (answer, _) = login(directory.addr(), "alice, at the directory,").await?;
    let (text, tone) = match answer {
        code::SUCCESS => ("welcome", Tone::Bad),
        _ => ("refused, although it is right", Tone::Bad),
    };
    screen.fact("alice's new password", text, tone)?;
    Ok(direct)
}

pub(super) fn unlock(screen: &mut Screen<'_>, directory: &RunningDirectory, listen: SocketAddr) -> io::Result<()> {
    screen.title("2. The help desk unlocks the account, and bindproxy goes in front")?;
    directory.unlock(ALICE);
    screen.fact("bindproxy", &format!("ldap://{listen} -> ldap://{}", directory.addr()), Tone::Plain)
}

/// The same phone through the proxy, then alice; the last line of the story.
pub(super) async fn with_proxy(
    screen: &mut Screen<'_>,
    directory: &RunningDirectory,
    proxy: &StartedProxy,
    direct: u64,
) -> Result<(), DemoError> {
    screen.title(&format!(
        "3. The phone tries {ATTEMPTS} times on {CONNECTIONS} connections at once, through bindproxy"
    ))?;
    let before = directory.failures(ALICE);
    let phones: Vec<_> = (0..CONNECTIONS).map(|_| tokio::spawn(hammer(proxy.listen))).collect();
    let mut refused = 0;
    for phone in phones {
        let answers = match phone.await {
            Ok(answers) => answers.map_err(|source| DemoError::Client { who: "the phone, at bindproxy,", source })?,
            Err(ended) => return Err(DemoError::Promise(format!("a connection of the phone ended: {ended}"))),
        };
        refused += answers.iter().filter(|&&answer| answer == code::INVALID_CREDENTIALS).count();
    }
    let through = directory.failures(ALICE) - before;
    screen.fact("the phone was told", &format!("{refused} times \"invalid credentials\""), Tone::Plain)?;
    report(screen, directory, through)?;
    let (answer, identity) = login(proxy.listen, "alice, at bindproxy,").await?;
    let (text, tone) = match answer {
        code::SUCCESS => (format!("welcome, {identity}"), Tone::Good),
        other => (format!("refused with result code {other}"), Tone::Bad),
    };
    screen.fact("alice's new password", &text, tone)?;
    screen.line("")?;
    screen.line(&format!("directory counted: direct {direct}, through bindproxy {through}"))?;
    if through != 1 {
        return Err(DemoError::Promise(format!("the directory saw the stale password {through} times, not once")));
    }
    if answer != code::SUCCESS {
        return Err(DemoError::Promise(format!("alice was refused with result code {answer}")));
    }
    Ok(())
}

/// Serves until Ctrl-C or SIGTERM, and shows what reaches the directory.
pub(super) async fn serve(
    screen: &mut Screen<'_>,
    directory: &RunningDirectory,
    proxy: &StartedProxy,
) -> Result<(), DemoError> {
    let (ldap, admin) = (format!("ldap://{}", proxy.listen), format!("http://{}", proxy.admin));
    screen.title(&format!("Serving on {ldap} (admin {admin}) until Ctrl-C. Try, in another terminal:"))?;
    for (who, command) in [
        ("the phone again", format!("ldapwhoami -x -H {ldap} -D {ALICE} -w {STALE}")),
        ("alice herself", format!("ldapwhoami -x -H {ldap} -D {ALICE} -w {RIGHT}")),
        ("what bindproxy counts", format!("curl -s {admin}/metrics | grep bindproxy_binds_total")),
        ("which device it is", format!("bindproxy offenders --admin {admin}")),
    ] {
        screen.fact(who, &command, Tone::Plain)?;
    }
    screen.title("What reaches the directory from now on:")?;
    let mut seen = directory.total_binds();
    let stop = stop_signal();
    tokio::pin!(stop);
    loop {
        tokio::select! {
            signal = &mut stop => {
                signal?;
                return Ok(screen.line("")?);
            }
            () = tokio::time::sleep(LOOK) => {}
        }
        let total = directory.total_binds();
        let records = directory.log(|log| log.records());
        let fresh = usize::try_from(total - seen).unwrap_or(usize::MAX).min(records.len());
        seen = total;
        for record in &records[records.len() - fresh..] {
            // The proxy clears a connection with an anonymous bind before its next user.
            if !record.name.is_empty() {
                let (text, tone) = describe(record);
                let counted = match directory.counted(&record.name) {
                    0 => String::new(),
                    failures => format!(", {failures} of {LIMIT} failures counted"),
                };
                screen.fact(&short(&record.name), &format!("{text}{counted}"), tone)?;
            }
        }
    }
}

#[cfg(unix)]
async fn stop_signal() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupt = tokio::signal::ctrl_c() => interrupt,
        _ = terminate.recv() => Ok(()),
    }
}

fn describe(record: &BindRecord) -> (&'static str, Tone) {
    match record.password {
        PasswordKind::Right if record.code == Some(code::SUCCESS) => ("the right password", Tone::Good),
        PasswordKind::Right => ("the right password, but the account is locked", Tone::Bad),
        PasswordKind::Former(_) => ("an old password", Tone::Bad),
        PasswordKind::Other(_) => ("a wrong password", Tone::Bad),
        PasswordKind::Empty => ("no password", Tone::Plain),
        PasswordKind::NotSimple => ("a SASL bind", Tone::Plain),
    }
}

/// The value of the first naming attribute: enough to tell who it is.
fn short(name: &str) -> String {
    let folded = fold_name(name);
    let first = folded.split(',').next().unwrap_or_default();
    first.split_once('=').map_or(first, |(_, value)| value).chars().take(20).collect()
}

async fn connect(address: SocketAddr, who: &'static str) -> Result<Client, DemoError> {
    Client::connect(address).await.map_err(|source| DemoError::Client { who, source })
}

async fn login(address: SocketAddr, who: &'static str) -> Result<(u32, String), DemoError> {
    let failed = |source| DemoError::Client { who, source };
    let mut alice = connect(address, who).await?;
    let (answer, _) = alice.bind(ALICE, RIGHT).await.map_err(failed)?;
    let identity = alice.who_am_i().await.map_err(failed)?;
    alice.unbind().await.map_err(failed)?;
    Ok((answer, identity))
}

async fn hammer(address: SocketAddr) -> Result<Vec<u32>, ClientError> {
    let mut phone = Client::connect(address).await?;
    let mut answers = Vec::new();
    for _ in 0..ATTEMPTS / CONNECTIONS {
        answers.push(phone.bind(ALICE, STALE).await?.0);
    }
    phone.unbind().await?;
    Ok(answers)
}

fn report(screen: &mut Screen<'_>, directory: &RunningDirectory, failed: u64) -> io::Result<()> {
    let (plural, tone) = if failed == 1 { ("", Tone::Good) } else { ("s", Tone::Bad) };
    screen.fact("the directory saw", &format!("{failed} failed bind{plural}"), tone)?;
    match directory.locked(ALICE) {
        true => screen.fact("alice's account", "locked", Tone::Bad),
        false => screen.fact("alice's account", "open", Tone::Good),
    }
}
