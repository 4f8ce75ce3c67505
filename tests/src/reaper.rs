//! Nothing is left behind, however a test binary ends.
//!
//! Servers that are shared by the tests of one binary live in statics, which are never dropped,
//! and Ctrl-C or a crash runs no destructor at all. So each test binary starts one shell in a
//! session of its own that waits for the end of its standard input: the kernel closes that pipe
//! when the binary is gone. Then the shell ends the process groups that it was told of, and every
//! process whose command line names one of the directories (daemons leave their group), and removes
//! the directories and network namespaces.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;

use parking_lot::Mutex;

/// Reads lines `group N`, `forget N`, `directory PATH`, `removed PATH`, `namespace NAME`.
const SCRIPT: &str = r#"
groups=' '; directories=; namespaces=
while read -r verb argument; do
    case $verb in
        group) groups="$groups$argument " ;;
        forget) groups=$(printf %s "$groups" | sed "s/ $argument / /") ;;
        directory) directories="$directories
$argument" ;;
        namespace) namespaces="$namespaces $argument" ;;
        removed) directories=$(printf '%s\n' "$directories" | grep -Fxv "$argument") ;;
    esac
done
for group in $groups; do kill -s KILL -- "-$group" 2>/dev/null; done
for namespace in $namespaces; do
    for process in $(ip netns pids "$namespace" 2>/dev/null); do kill -s KILL "$process" 2>/dev/null; done
    ip netns delete "$namespace" 2>/dev/null
    rm -rf -- "/etc/netns/$namespace"
done
printf '%s\n' "$directories" | while IFS= read -r directory; do
    case $directory in */bindproxy-*) ;; *) continue ;; esac
    for process in $(grep -lF -- "$directory" /proc/[0-9]*/cmdline 2>/dev/null | cut -d/ -f3); do
        kill -s KILL "$process" 2>/dev/null
    done
    rm -rf -- "$directory"
done
"#;

struct Reaper {
    input: ChildStdin,
    /// Kept so that the shell is a child of ours and no stray process; it outlives us on purpose.
    _shell: Child,
}

fn tell(line: &str) {
    static REAPER: OnceLock<Mutex<Reaper>> = OnceLock::new();
    let mut reaper = REAPER
        .get_or_init(|| {
            let mut shell = Command::new("setsid")
                .args(["sh", "-c", SCRIPT])
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .process_group(0)
                .spawn()
                .expect("start the reaper's shell with setsid");
            let input = shell.stdin.take().expect("its standard input is a pipe");
            Mutex::new(Reaper { input, _shell: shell })
        })
        .lock();
    writeln!(reaper.input, "{line}").expect("the reaper's shell is alive");
}

/// Ends the process group `id` when this binary ends.
pub fn end_group(id: u32) {
    tell(&format!("group {id}"));
}

/// The process group `id` was ended; its number may be used by somebody else from now on.
pub fn forget_group(id: u32) {
    tell(&format!("forget {id}"));
}

/// Removes the network namespace `name`, with whatever still runs in it, when this binary ends.
pub fn remove_namespace(name: &str) {
    tell(&format!("namespace {name}"));
}

/// Removes `directory` when this binary ends.
pub fn remove_directory(directory: &Path) {
    tell(&format!("directory {}", directory.display()));
}

/// `directory` was removed.
pub fn forget_directory(directory: &Path) {
    tell(&format!("removed {}", directory.display()));
}
