//! Which answers of a directory are remembered: the table, row by row, for answers that no server
//! at hand gives.

use std::time::Duration;

use bindproxy::directory::script::ScriptedResult;
use bindproxy::directory::{Behaviour, Match, RunningDirectory};
use bindproxy_tests::ldap::Frame;
use bindproxy_tests::proxy::Proxy;
use bindproxy_tests::request::{self, PASSWORD_POLICY};
use bindproxy_tests::wait;

use crate::stage::{ALICE, stage, stage_with};

const ACTIVE_DIRECTORY: &str = "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data ";

fn active_directory(sub_code: &str) -> ScriptedResult {
    ScriptedResult::code(49).with_diagnostic(&format!("{ACTIVE_DIRECTORY}{sub_code}, v1db1"))
}

/// A passwordPolicyResponse with this error.
fn policy_error(error: u8) -> Vec<u8> {
    request::control(PASSWORD_POLICY, false, Some(&[0x30, 3, 0x81, 1, error]))
}

/// Makes the directory answer every bind with `result`; how often it is asked in three attempts.
fn asked(directory: &RunningDirectory, proxy: &Proxy, password: &str, result: &ScriptedResult) -> (u64, Vec<Frame>) {
    directory.script(|script| {
        script.clear();
        script.when(Match::bind().with_password(password), Behaviour::Result(result.clone()));
    });
    let before = directory.binds(ALICE);
    let answers = (0..3).map(|_| proxy.endpoint().connect().ask(&request::bind(ALICE, password))).collect();
    (directory.binds(ALICE) - before, answers)
}

#[test]
fn every_code_but_49_is_passed_on_and_forgotten() {
    let (directory, proxy) = stage();
    for code in [1, 2, 3, 7, 8, 10, 11, 12, 13, 16, 19, 21, 32, 34, 36, 48, 50, 51, 52, 53, 54, 64, 80, 118, 4096] {
        let result = ScriptedResult::code(code).with_diagnostic("the directory's own words");
        let (asked, answers) = asked(&directory, &proxy, &format!("code {code}"), &result);
        assert_eq!(asked, 3, "{code}");
        for answer in answers {
            assert_eq!(answer.code(), code);
            assert_eq!(answer.diagnostic(), "the directory's own words");
        }
    }
}

#[test]
fn active_directory_sub_codes() {
    let (directory, proxy) = stage();
    for (sub_code, remembered) in [
        ("52e", true),
        ("525", true),
        ("57", true),
        ("530", false),
        ("531", false),
        ("532", false),
        ("533", false),
        ("701", false),
        ("773", false),
        ("775", false),
    ] {
        let (asked, answers) = asked(&directory, &proxy, sub_code, &active_directory(sub_code));
        assert_eq!(asked, if remembered { 1 } else { 3 }, "{sub_code}");
        for answer in answers {
            assert_eq!(answer.code(), 49);
            assert_eq!(answer.diagnostic(), format!("{ACTIVE_DIRECTORY}{sub_code}, v1db1"));
        }
    }
}

/// The user may have been created a moment ago, so "no such user" lives for `firstTTLSeconds` only.
#[test]
fn an_unknown_user_is_remembered_for_a_short_time() {
    let (directory, proxy) = stage_with(|c| c.section("cache", "ttlSeconds: 600, firstTTLSeconds: 1"));
    assert_eq!(asked(&directory, &proxy, "created later", &active_directory("525")).0, 1);
    let before = directory.binds(ALICE);
    wait::until_true("the entry to expire", Duration::from_secs(10), || {
        let code = proxy.endpoint().connect().bind(ALICE, "created later");
        assert_eq!(code, 49);
        directory.binds(ALICE) > before
    });
}

#[test]
fn password_policy_errors() {
    let (directory, proxy) = stage();
    for (error, remembered) in [(0, false), (1, false), (2, false)] {
        let result = ScriptedResult::code(49).with_control(policy_error(error));
        let (asked, answers) = asked(&directory, &proxy, &format!("policy {error}"), &result);
        assert_eq!(asked, if remembered { 1 } else { 3 }, "error {error}");
        assert!(answers.iter().all(|answer| answer.control(PASSWORD_POLICY).is_none()), "nobody asked for it");
    }
    let silent = ScriptedResult::code(49).with_control(request::control(PASSWORD_POLICY, false, Some(&[0x30, 0])));
    assert_eq!(asked(&directory, &proxy, "no error", &silent).0, 1);
}

/// A 49 that explains itself may mean anything.
#[test]
fn other_words_are_not_remembered_unless_a_rule_says_so() {
    let (directory, proxy) = stage();
    for words in ["password expired!", "Account inactivated", "intruder lockout", "x"] {
        let result = ScriptedResult::code(49).with_diagnostic(words);
        assert_eq!(asked(&directory, &proxy, words, &result).0, 3, "{words}");
    }
    let rules = "ttlSeconds: 600, verdicts: {rules: [{code: 49, diagnosticContains: \"NDS error: failed auth\", \
                 action: Cache}, {code: 53, diagnostic: \"go away\", action: Cache}, \
                 {code: 49, diagnostic: \"\", action: Ignore}]}";
    let (directory, proxy) = stage_with(|c| c.section("cache", rules));
    let result = ScriptedResult::code(49).with_diagnostic("NDS error: failed authentication (-669)");
    let (times, answers) = asked(&directory, &proxy, "by rule", &result);
    assert_eq!(times, 1);
    assert!(answers.iter().all(|answer| answer.diagnostic() == "NDS error: failed authentication (-669)"));
    let (times, answers) = asked(&directory, &proxy, "53", &ScriptedResult::code(53).with_diagnostic("go away"));
    assert_eq!(times, 1);
    assert!(answers.iter().all(|answer| answer.code() == 53));
    assert_eq!(asked(&directory, &proxy, "ignored", &ScriptedResult::code(49)).0, 3);
}

/// The whole result is replayed: matchedDN, diagnostic message and controls as they came.
#[test]
fn a_replay_is_exact() {
    let (directory, proxy) = stage();
    let mut result = active_directory("52e");
    result.matched_dn = b"dc=example,dc=org".to_vec();
    result.controls.push(request::control("1.2.3.4", false, Some(b"whatever this is")));
    let (asked, answers) = asked(&directory, &proxy, "exact", &result);
    assert_eq!(asked, 1);
    assert_eq!(answers[0].after_message_id(), answers[1].after_message_id());
    assert_eq!(answers[0].control("1.2.3.4").as_deref(), Some(b"whatever this is".as_slice()));
    assert_eq!(answers[1].result().matched_dn, b"dc=example,dc=org");
}
