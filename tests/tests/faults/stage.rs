//! A scripted directory and a proxy in front of it.

use std::time::Duration;

use bindproxy::directory::{Directory, Options, RunningDirectory};
use bindproxy_tests::ldap::{Endpoint, Frame};
use bindproxy_tests::proxy::{Configuration, Proxy};
use bindproxy_tests::wait;

/// A user of every scripted directory, and its password.
pub(crate) const ALICE: &str = "uid=alice,ou=people,dc=example,dc=org";
pub(crate) const ALICE_PASSWORD: &str = "alicepw";
/// Another one.
pub(crate) const BOB: &str = "uid=bob,ou=people,dc=example,dc=org";
pub(crate) const BOB_PASSWORD: &str = "bobpw";
/// Their parent.
pub(crate) const PEOPLE: &str = "ou=people,dc=example,dc=org";

/// Short deadlines, and no health check that would connect on its own.
pub(crate) const QUICK: &str = "connectTimeoutSeconds: 2, requestTimeoutSeconds: 1, healthCheck: {enabled: false}";

/// A directory that behaves well until told otherwise.
pub(crate) fn directory() -> RunningDirectory {
    Directory::start_on_thread(Options::default()).expect("start the scripted directory")
}

/// Where a client finds it.
pub(crate) fn endpoint(directory: &RunningDirectory) -> Endpoint {
    Endpoint::tcp(directory.addr())
}

/// A directory and a proxy with [`QUICK`] deadlines.
pub(crate) fn stage() -> (RunningDirectory, Proxy) {
    stage_with(|configuration| configuration.section("upstreamPolicy", QUICK))
}

/// A directory and a proxy with a configuration of one's own.
pub(crate) fn stage_with(configure: impl FnOnce(Configuration) -> Configuration) -> (RunningDirectory, Proxy) {
    let directory = directory();
    let proxy = configure(Configuration::in_front_of(&endpoint(&directory))).start();
    (directory, proxy)
}

/// Two directories, the first preferred, and a proxy with [`QUICK`] deadlines.
pub(crate) fn two() -> (RunningDirectory, RunningDirectory, Proxy) {
    let (first, second) = (directory(), directory());
    let proxy = Configuration::default()
        .upstream("first", &endpoint(&first), "priority: 0")
        .upstream("second", &endpoint(&second), "priority: 1")
        .section("upstreamPolicy", QUICK)
        .start();
    (first, second, proxy)
}

/// Runs one of the directory's commands to its end.
pub(crate) fn block_on<T>(command: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(command)
}

/// Waits until the directory has received `count` binds with this name.
pub(crate) fn received(directory: &RunningDirectory, name: &str, count: u64) {
    wait::until_true("the directory to receive the bind", Duration::from_secs(10), || directory.binds(name) >= count);
}

/// Asserts that the message is Notice of Disconnection with this result code.
pub(crate) fn assert_notice(frame: &Frame, code: u32) {
    assert_eq!((frame.message_id(), frame.op(), frame.code()), (0, 0x78, code), "{frame:?}");
    let name = b"1.3.6.1.4.1.1466.20036";
    assert!(frame.octets.windows(name.len()).any(|part| part == name), "{frame:?}");
}
