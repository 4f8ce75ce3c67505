//! What works, and is probably not meant.

use crate::folder::{FULL, Folder};

const BASE: &str = "listeners: [{name: a, address: \"127.0.0.1:3389\"}]\nupstreams: [{name: b, host: localhost}]\n";

#[track_caller]
fn warnings(folder: &Folder, text: &str) -> Vec<String> {
    let loaded = folder.load(text).unwrap();
    loaded.warnings.iter().map(|warning| folder.line(warning)).collect()
}

#[test]
fn a_good_configuration_has_none() {
    assert_eq!(warnings(&Folder::furnished(), FULL), Vec::<String>::new());
    assert_eq!(warnings(&Folder::new(), BASE), Vec::<String>::new());
}

#[test]
fn an_admin_address_that_others_reach_is_meant() {
    // Probes and metrics come from elsewhere; the API answers them with what to write.
    let without_token = format!("{BASE}admin: {{address: \"0.0.0.0:9390\"}}\n");
    assert_eq!(warnings(&Folder::new(), &without_token), Vec::<String>::new());
    let folder = Folder::furnished();
    let with_token = format!("{BASE}admin: {{address: \"0.0.0.0:9390\", tokenFile: admin.token}}\n");
    assert_eq!(warnings(&folder, &with_token), Vec::<String>::new());
}

#[test]
fn tls_that_nobody_uses() {
    let text = format!("{BASE}serverTLS: {{certificateFile: server.crt, keyFile: server.key, clientCAFile: ca.crt}}\n");
    assert_eq!(
        warnings(&Folder::furnished(), &text),
        [
            "serverTLS: no listener uses it; write `tls: LDAPS` or `tls: StartTLS` at a listener, or remove it",
            "serverTLS.clientCAFile: clients are not asked for a certificate; write `clientCertificate: Optional` or `Required`, or remove the field",
        ]
    );
}

#[test]
fn a_rule_that_is_never_reached() {
    let text = format!(
        "{BASE}cache: {{verdicts: {{rules: [{{code: 49, action: Cache}}, {{code: 49, diagnosticContains: x, action: Ignore}}, {{code: 50, action: Ignore}}]}}}}\n"
    );
    assert_eq!(
        warnings(&Folder::new(), &text),
        [
            "cache.verdicts.rules[1]: cache.verdicts.rules[0] matches first whenever this one would; move the narrower rule up, or remove this one"
        ]
    );
    let narrower_first = format!(
        "{BASE}cache: {{verdicts: {{rules: [{{code: 49, diagnosticContains: x, action: Ignore}}, {{code: 49, action: Cache}}, {{code: 49, diagnostic: axb, action: Cache}}]}}}}\n"
    );
    assert_eq!(
        warnings(&Folder::new(), &narrower_first),
        [
            "cache.verdicts.rules[2]: cache.verdicts.rules[0] matches first whenever this one would; move the narrower rule up, or remove this one"
        ]
    );
}

#[test]
fn a_weak_token_and_no_word_about_equal_keys() {
    let folder = Folder::furnished();
    folder.write("weak.token", "hunter2");
    folder.write("same.key", b"0123456789abcdef0123456789ABCDEF");
    let text =
        format!("{BASE}cache: {{keyFile: hash.key, previousKeyFile: same.key}}\nadmin: {{tokenFile: weak.token}}\n");
    assert_eq!(
        warnings(&folder, &text),
        [
            "admin.tokenFile: DIR/weak.token: it is shorter than 16 characters; write one random word, as from `openssl rand -hex 32`",
        ]
    );
}

#[test]
fn an_expired_certificate_is_served_all_the_same() {
    let folder = Folder::furnished();
    folder.certificate_until("server", 2020);
    let text = format!(
        "{}serverTLS: {{certificateFile: server.crt, keyFile: server.key}}\n",
        BASE.replace("3389\"}", "3636\", tls: LDAPS}")
    );
    let found = warnings(&folder, &text);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with("serverTLS.certificateFile: the certificate of CN=server expired at Jan  1 00:00:00 2020"),
        "{found:?}"
    );
}
