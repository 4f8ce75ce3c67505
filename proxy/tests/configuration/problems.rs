//! A table of bad configurations with the exact problems of each, all at once.

use crate::folder::{FULL, Folder};

/// One listener and one upstream, to which a case adds what is wrong.
const BASE: &str = "listeners: [{name: a, address: \"127.0.0.1:3389\"}]\nupstreams: [{name: b, host: localhost}]\n";

const MISSING: &str =
    "; write the path of a file that exists and can be read; a relative path starts at the configuration file's folder";

#[track_caller]
fn expect(text: &str, expected: &[&str]) {
    let folder = Folder::furnished();
    folder.certificate("other");
    folder.write("empty", "");
    folder.write("text", "hello\n");
    folder.write("damaged.crt", "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n");
    folder.write("nocert.crt", "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n");
    folder
        .write("locked.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\naGVsbG8=\n-----END ENCRYPTED PRIVATE KEY-----\n");
    folder.write("zero.key", [0; 32]);
    folder.write("short.key", "c2hvcnQ=\n");
    let expected: Vec<String> = expected.iter().map(|line| line.replace("; MISSING", MISSING)).collect();
    assert_eq!(folder.problems(text), expected, "\n{}\n---\n{}\n", folder.problems(text).join("\n"), text);
}

#[test]
fn the_whole_contract_is_accepted() {
    expect(FULL, &[]);
    expect(BASE, &[]);
}

#[test]
fn syntax_errors_name_the_place() {
    expect(
        "listeners: [{name: a, address: [::]:33}]\n",
        &[
            "this is not YAML in line 1, column 36: while parsing a flow mapping, did not find expected ',' or '}'; correct the text there; quote a text that holds `: ` or ` #`",
        ],
    );
    expect(
        "listeners:\n\t- a\n",
        &[
            "this is not YAML in line 2, column 2: tabs disallowed within this context (block indentation); correct the text there; quote a text that holds `: ` or ` #`",
        ],
    );
    expect(
        "a: &x [*x]\n",
        &[
            "this is not YAML in line 1, column 8: recursive references require weak recursion types; correct the text there; quote a text that holds `: ` or ` #`",
        ],
    );
    expect(
        r"listeners: []
---
listeners: []
",
        &["a second document begins in line 3; keep one document; remove the `---` before the other"],
    );
    expect("# nothing\n", &["the file is empty; write at least `listeners` and `upstreams`"]);
    expect("- a\n", &["the file holds a list; write fields, as in `listeners:`, at the left margin"]);
}

#[test]
fn unknown_fields_at_every_depth() {
    expect(
        &format!(
            "{BASE}{}",
            r"chache: {}
ttlSeconds: 3
zzz: 1
cache: {ttlSecond: 5, maxTtlSeconds: 9, verdicts: {prset: auto, rules: [{code: 49, acton: Cache}]}}
limits: {maxConections: 5}
upstreamPolicy: {healthCheck: {interval: 5}}
"
        ),
        &[
            "chache: no such field; write `cache`",
            "ttlSeconds: no such field; move it to `cache.ttlSeconds`",
            "zzz: no such field; remove it, or write one of `admin`, `cache`, `cluster`, `drain`, `limits`, `listeners`, `logging`, `serverTLS`, `upstreamPolicy`, `upstreams`",
            "cache.ttlSecond: no such field; write `ttlSeconds`",
            "cache.maxTtlSeconds: no such field; write `maxTTLSeconds`",
            "cache.verdicts.prset: no such field; write `preset`",
            "cache.verdicts.rules[0].action: the field is missing; write `action:` and one of `Cache`, `CacheShort`, `Ignore`, `PasswordWasRight` (What the answer means)",
            "cache.verdicts.rules[0].acton: no such field; write `action`",
            "limits.maxConections: no such field; write `maxConnections`",
            "upstreamPolicy.healthCheck.interval: no such field; remove it, or write one of `enabled`, `failureThreshold`, `intervalSeconds`, `successThreshold`",
        ],
    );
    expect(
        r#"listeners: [{name: a, address: "127.0.0.1:3389"}]
upstreams:
- {name: b, host: localhost, tls: {mode: LDAPS, cafile: ca.crt, verify: false}}
"#,
        &[
            "upstreams[0].tls.cafile: no such field; write `caFile`",
            "upstreams[0].tls.verify: no such field; remove it, or write one of `caFile`, `certificateFile`, `keyFile`, `minVersion`, `mode`, `serverName`",
        ],
    );
}

#[test]
fn fields_given_twice() {
    expect(
        &format!(
            "{BASE}{}",
            r"cache: {ttlSeconds: 60, ttlSeconds: 90, firstTTLSeconds: 70}
drain: {}
drain: {timeoutSeconds: x}
drain: {}
"
        ),
        &[
            "cache.ttlSeconds: the field is given more than once; keep one of them",
            "cache.firstTTLSeconds: 70 is above ttlSeconds, which is 60; write at most 60, or raise ttlSeconds",
            "drain: the field is given more than once; keep one of them",
            r#"drain.timeoutSeconds: the text "x" stands where a whole number belongs; write a whole number from 0 to 4294967295; the field's name says the unit"#,
        ],
    );
}

#[test]
fn wrong_types() {
    expect(
        r#"listeners: {name: a}
upstreams:
- 7
- {name: 5, host: [x], port: "636", priority: 1.5, weight: -1, tls: LDAPS, insecureAllowCleartext: yes}
cache: [1]
limits: {maxConnections: many, idleTimeoutSeconds: 15m, maxMessageBytes: 99999999999999999999}
logging: {level: verbose, redactNames: 1}
drain: {timeoutSeconds: 4294967296}
"#,
        &[
            "listeners: a mapping stands where a list belongs; begin every item with `- `",
            "upstreams[0]: the number 7 stands where fields belong; write `field: value` lines below it",
            "upstreams[1].name: the number 5 stands where a text belongs; put the value in quotes",
            "upstreams[1].host: a list stands where a text belongs; write one text",
            r#"upstreams[1].port: the text "636" stands where a number belongs; write 636 without quotes or leading zeros"#,
            "upstreams[1].priority: the number 1.5 stands where a whole number belongs; write a whole number from 0 to 4294967295; the field's name says the unit",
            "upstreams[1].weight: -1 is out of range; write a whole number from 0 to 4294967295",
            r#"upstreams[1].tls: the text "LDAPS" stands where fields belong; write `field: value` lines below it"#,
            r#"upstreams[1].insecureAllowCleartext: the text "yes" is neither true nor false in YAML 1.2; write `true`"#,
            "cache: a list stands where fields belong; write `field: value` lines below it",
            r#"limits.maxConnections: the text "many" stands where a whole number belongs; write a whole number from 0 to 4294967295; the field's name says the unit"#,
            r#"limits.idleTimeoutSeconds: the text "15m" stands where a whole number belongs; write a whole number from 0 to 4294967295; the field's name says the unit"#,
            "limits.maxMessageBytes: the number 100000000000000000000 stands where a whole number belongs; write a whole number from 0 to 4294967295; the field's name says the unit",
            r#"logging.level: "verbose" is not known here; write one of `error`, `warn`, `info`, `debug`, `trace`"#,
            "logging.redactNames: the number 1 is neither true nor false; write `true` or `false`",
            "drain.timeoutSeconds: 4294967296 is out of range; write a whole number from 0 to 4294967295",
        ],
    );
    expect(
        &format!("{BASE}{}", "limits: {maxConnections: 0x10, maxConnectionsPerClient: 010}\n"),
        &[
            r#"limits.maxConnectionsPerClient: the text "010" stands where a number belongs; write 10 without quotes or leading zeros"#,
        ],
    );
}

#[test]
fn missing_required_fields() {
    expect(
        "drain: {}\n",
        &[
            "listeners: the field is missing; write `listeners:` and a list below it (Where clients connect; at least one)",
            "upstreams: the field is missing; write `upstreams:` and a list below it (The directory servers; at least one)",
        ],
    );
    expect(
        r"listeners: [{}]
upstreams: [{}]
serverTLS: {}
cache: {verdicts: {rules: [{}]}}
",
        &[
            "listeners[0].name: the field is missing; write `name:` and a text (The name in metrics and logs; unique among listeners)",
            "upstreams[0].name: the field is missing; write `name:` and a text (The name in metrics and logs; unique among upstreams)",
            "serverTLS.certificateFile: the field is missing; write `certificateFile:` and a text (PEM file: the certificate, then its chain)",
            "serverTLS.keyFile: the field is missing; write `keyFile:` and a text (PEM file: the private key)",
            "cache.verdicts.rules[0].code: the field is missing; write `code:` and a whole number (The result code of the answer)",
            "cache.verdicts.rules[0].action: the field is missing; write `action:` and one of `Cache`, `CacheShort`, `Ignore`, `PasswordWasRight` (What the answer means)",
        ],
    );
    expect(
        r"listeners: ~
upstreams: []
",
        &[
            "listeners: the field has no value; write `listeners:` and a list below it (Where clients connect; at least one)",
            "upstreams: there is no upstream; write at least one, as in `- {name: dc1, host: dc1.corp.example, tls: {mode: LDAPS}}`",
        ],
    );
    expect(
        r"listeners: []
upstreams: []
",
        &[
            r#"listeners: there is no listener; write at least one, as in `- {name: ldap, address: "127.0.0.1:3389"}`"#,
            "upstreams: there is no upstream; write at least one, as in `- {name: dc1, host: dc1.corp.example, tls: {mode: LDAPS}}`",
        ],
    );
    expect(
        r#"listeners: [{name: a, address: "127.0.0.1:3389"}]
upstreams: [{name: ~, host: localhost}]
"#,
        &[
            "upstreams[0].name: the field has no value; write `name:` and a text (The name in metrics and logs; unique among upstreams)",
        ],
    );
}

#[test]
fn unknown_choices_list_the_known() {
    expect(
        r#"listeners: [{name: a, address: "127.0.0.1:3389", tls: TLS, proxyProtocol: {mode: V1, trustedCIDRs: ["10.0.0.0/8"]}}]
serverTLS: {certificateFile: server.crt, keyFile: server.key, clientCertificate: required}
upstreams: [{name: b, host: localhost, tls: {mode: ldaps, minVersion: "1.3"}}]
upstreamPolicy: {strategy: Random}
cache: {verdicts: {preset: AD, rules: [{code: 49, action: Deny}]}, requestPasswordPolicy: auto}
"#,
        &[
            r#"listeners[0].tls: "TLS" is not known here; write one of `Disabled`, `StartTLS`, `LDAPS`"#,
            r#"listeners[0].proxyProtocol.mode: "V1" is not known here; write `V2`"#,
            r#"serverTLS.clientCertificate: "required" is not known here; write `Required`; capital letters count"#,
            r#"upstreams[0].tls.mode: "ldaps" is not known here; write `LDAPS`; capital letters count"#,
            r#"upstreams[0].tls.minVersion: "1.3" is not known here; write one of `TLSv1.2`, `TLSv1.3`"#,
            r#"upstreamPolicy.strategy: "Random" is not known here; write one of `Priority`, `RoundRobin`, `LeastConnections`"#,
            r#"cache.verdicts.preset: "AD" is not known here; write one of `auto`, `openldap`, `389ds`, `activeDirectory`, `freeipa`"#,
            r#"cache.verdicts.rules[0].action: "Deny" is not known here; write one of `Cache`, `CacheShort`, `Ignore`, `PasswordWasRight`"#,
            r#"cache.requestPasswordPolicy: "auto" is not known here; write `Auto`; capital letters count"#,
        ],
    );
}

#[test]
fn names() {
    expect(
        r#"listeners:
- {name: a, address: "127.0.0.1:3389"}
- {name: "", address: "127.0.0.1:3390"}
- {name: "a b", address: "127.0.0.1:3391"}
- {name: a, address: "127.0.0.1:3392"}
upstreams:
- {name: dc1, host: localhost}
- {name: dc1, host: localhost, port: 390}
- {name: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, host: localhost}
"#,
        &[
            r#"listeners[1].name: "" cannot be a name; write 1 to 63 letters, digits, `-`, `_` or `.`"#,
            r#"listeners[2].name: "a b" cannot be a name; write 1 to 63 letters, digits, `-`, `_` or `.`"#,
            "listeners[3].name: the name a is taken by an earlier one; write another name",
            "upstreams[1].name: the name dc1 is taken by an earlier one; write another name",
            r#"upstreams[2].name: "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…" cannot be a name; write 1 to 63 letters, digits, `-`, `_` or `.`"#,
        ],
    );
}

#[test]
fn listener_addresses() {
    expect(
        r#"listeners:
- {name: a, address: "127.0.0.1"}
- {name: b, address: ":3389"}
- {name: c, address: "localhost:3389"}
- {name: d, address: "::1:3389"}
- {name: e, address: "ldap.example.org:389"}
- {name: f, address: "127.0.0.1:99999"}
- {name: g, address: ""}
upstreams: [{name: b, host: localhost}]
"#,
        &[
            r#"listeners[0].address: "127.0.0.1" has no port; write `"127.0.0.1:3389"` with the port you want"#,
            r#"listeners[1].address: ":3389" has no IP address; write `"[::]:3389"` for every interface or `"127.0.0.1:3389"` for this host only"#,
            r#"listeners[2].address: "localhost:3389" is a name, not an IP address; write `"127.0.0.1:3389"`"#,
            r#"listeners[3].address: "::1:3389" lacks the brackets of an IPv6 address; write `"[::1]:3389"`"#,
            r#"listeners[4].address: "ldap.example.org:389" is no IP address with a port; write it as in `"127.0.0.1:3389"` or `"[::]:3389"`"#,
            r#"listeners[5].address: "127.0.0.1:99999" is no IP address with a port; write it as in `"127.0.0.1:3389"` or `"[::]:3389"`"#,
            r#"listeners[6].address: "" is no IP address with a port; write it as in `"127.0.0.1:3389"` or `"[::]:3389"`"#,
        ],
    );
    expect(
        r#"listeners:
- {name: a, address: "127.0.0.1:3389"}
- {name: b, address: "127.0.0.1:3389"}
- {name: c, address: "0.0.0.0:3389"}
- {name: d, address: "[::1]:3389"}
- {name: e, address: "127.0.0.1:0"}
- {name: f, address: "127.0.0.1:0"}
- {name: g, address: "127.0.0.1:9390"}
- {name: h, socket: x/sock}
- {name: i, socket: x/sock}
upstreams: [{name: b, host: localhost}]
"#,
        &[
            "listeners[1].address: 127.0.0.1:3389 is taken by listener a, which has 127.0.0.1:3389; write another port or address",
            "listeners[2].address: 0.0.0.0:3389 is taken by listener a, which has 127.0.0.1:3389; write another port or address",
            "listeners[8].socket: it is the socket of listener h; write another path",
            "admin.address: 127.0.0.1:9390 is also the address of listener g; write another port",
        ],
    );
}

#[test]
fn listener_places() {
    expect(
        r#"listeners:
- {name: a}
- {name: b, address: "127.0.0.1:3389", socket: s}
- {name: c, address: "127.0.0.1:3390", mode: "0600"}
- {name: d, socket: d, mode: "0999"}
- {name: e, socket: e, mode: "rw"}
- {name: f, socket: f, mode: "7777"}
- {name: g, socket: g, mode: 660}
- {name: h, socket: ""}
- {name: i, socket: i, proxyProtocol: {mode: V2, trustedCIDRs: ["10.0.0.0/8"]}}
upstreams: [{name: b, host: localhost}]
"#,
        &[
            r#"listeners[0]: neither address nor socket is given; write `address: "127.0.0.1:3389"`, or the path of a unix socket as `socket:`"#,
            "listeners[1]: both address and socket are given; keep one of them; write a second listener for the other",
            "listeners[2].mode: only a unix socket has a mode; remove it",
            r#"listeners[3].mode: "0999" is no file mode; write three octal digits after a 0 in quotes, as in `"0660"`"#,
            r#"listeners[4].mode: "rw" is no file mode; write three octal digits after a 0 in quotes, as in `"0660"`"#,
            r#"listeners[5].mode: "7777" is no file mode; write three octal digits after a 0 in quotes, as in `"0660"`"#,
            "listeners[6].mode: the number 660 stands where a text belongs; put the value in quotes",
            "listeners[7].socket: the path is empty; write the path of the socket",
            "listeners[8].proxyProtocol: a unix socket's clients have no address to be trusted by; remove it, or listen on an address",
        ],
    );
    expect(
        r"listeners: [{name: a, socket: /xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx}]
upstreams: [{name: b, host: localhost}]
",
        &[
            "listeners[0].socket: /xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx has 108 bytes; choose a path of at most 107 bytes",
        ],
    );
}

#[test]
fn trusted_networks() {
    expect(
        r#"listeners:
- name: a
  address: "0.0.0.0:3389"
  proxyProtocol: {mode: V2, trustedCIDRs: ["10.0.0.1/8", "10.0.0.1", "10.0.0.0/33", "10/8", "::1/64", lb.example.org]}
- {name: b, address: "0.0.0.0:3390", proxyProtocol: {mode: V2, trustedCIDRs: []}}
upstreams: [{name: b, host: localhost}]
"#,
        &[
            r#"listeners[0].proxyProtocol.trustedCIDRs[0]: "10.0.0.1/8" has address bits set beyond its prefix; write `"10.0.0.0/8"`"#,
            r#"listeners[0].proxyProtocol.trustedCIDRs[1]: "10.0.0.1" has no prefix length; write `"10.0.0.1/32"`"#,
            r#"listeners[0].proxyProtocol.trustedCIDRs[2]: "10.0.0.0/33" has a prefix length above 32; write a network as in `"10.0.0.0/8"` or `"2001:db8::/32"`"#,
            r#"listeners[0].proxyProtocol.trustedCIDRs[3]: "10/8" is no network in CIDR notation; write a network as in `"10.0.0.0/8"` or `"2001:db8::/32"`"#,
            r#"listeners[0].proxyProtocol.trustedCIDRs[4]: "::1/64" has address bits set beyond its prefix; write `"::/64"`"#,
            r#"listeners[0].proxyProtocol.trustedCIDRs[5]: "lb.example.org" is no network in CIDR notation; write a network as in `"10.0.0.0/8"` or `"2001:db8::/32"`"#,
            r#"listeners[1].proxyProtocol.trustedCIDRs: nobody is trusted, so every connection would be closed; write the networks of the load balancers, as in `["10.0.0.0/8"]`"#,
        ],
    );
}

#[test]
fn listener_tls() {
    expect(
        r#"listeners:
- {name: a, address: "127.0.0.1:3389", tls: StartTLS}
- {name: b, address: "127.0.0.1:3636", tls: LDAPS}
upstreams: [{name: b, host: localhost}]
"#,
        &[
            "listeners[0].tls: the listener has no certificate to show; write serverTLS with certificateFile and keyFile, or `tls: Disabled`",
            "listeners[1].tls: the listener has no certificate to show; write serverTLS with certificateFile and keyFile, or `tls: Disabled`",
        ],
    );
    expect(
        r#"listeners: [{name: b, address: "127.0.0.1:3636", tls: LDAPS}]
serverTLS: {certificateFile: server.crt, keyFile: server.key, clientCertificate: Required}
upstreams: [{name: b, host: localhost}]
"#,
        &[
            "serverTLS.clientCertificate: without clientCAFile no client certificate can be verified; write clientCAFile, or `clientCertificate: None`",
        ],
    );
    expect(
        r#"listeners: [{name: b, address: "127.0.0.1:3636", tls: LDAPS}]
serverTls: {certificateFile: server.crt, keyFile: server.key}
upstreams: [{name: b, host: localhost}]
"#,
        &["serverTls: no such field; write `serverTLS`"],
    );
}

#[test]
fn upstream_places() {
    expect(
        r#"listeners: [{name: a, address: "127.0.0.1:3389"}]
upstreams:
- {name: a}
- {name: b, host: localhost, socket: s}
- {name: c, socket: s, port: 389}
- {name: d, host: localhost, port: 0}
- {name: e, host: "", tls: {mode: LDAPS, caFile: ca.crt}}
- {name: f, host: "ldaps://dc1.corp.example:636/", tls: {mode: LDAPS, caFile: ca.crt}}
- {name: g, host: "dc1.corp.example:636", tls: {mode: LDAPS, caFile: ca.crt}}
- {name: h, host: "[::1]"}
- {name: i, host: "dc 1", tls: {mode: LDAPS, caFile: ca.crt}}
- {name: j, socket: s, tls: {mode: LDAPS}}
- {name: k, host: localhost, port: 65536}
"#,
        &[
            "upstreams[0]: neither host nor socket is given; write `host:` with a name or an IP address, or the path of a unix socket as `socket:`",
            "upstreams[1]: both host and socket are given; keep one of them; write a second upstream for the other",
            "upstreams[2].port: a unix socket has no port; remove it",
            "upstreams[3].port: 0 is no port; write a port from 1 to 65535, or remove the field",
            "upstreams[4].host: the host is empty; write a name or an IP address",
            r#"upstreams[5].host: "ldaps://dc1.corp.example:636/" is a URL; write `host: dc1.corp.example` and `tls: {mode: LDAPS}`"#,
            r#"upstreams[6].host: "dc1.corp.example:636" carries a port; write `host: dc1.corp.example` and `port: 636`"#,
            r#"upstreams[7].tls.mode: passwords would go to "[::1]" in clear text; write `tls: {mode: LDAPS}` or `{mode: StartTLS}`, or consent with `insecureAllowCleartext: true`"#,
            r#"upstreams[7].host: "[::1]" has brackets; write `host: "::1"`"#,
            r#"upstreams[8].host: "dc 1" is neither a host name nor an IP address; write a name as in `dc1.corp.example`, or an IP address"#,
            "upstreams[9].tls.mode: a unix socket needs no TLS, for its octets never leave this host; remove tls",
            "upstreams[10].port: 65536 is out of range; write a whole number from 0 to 65535",
        ],
    );
}

#[test]
fn clear_text_leaves_the_host_only_with_consent() {
    expect(
        r#"listeners: [{name: a, address: "127.0.0.1:3389"}]
upstreams:
- {name: a, host: dc1.corp.example}
- {name: b, host: 10.1.2.3, insecureAllowCleartext: true}
- {name: c, host: 10.1.2.3}
- {name: d, host: localhost.}
- {name: e, host: 127.9.9.9}
- {name: f, host: "::1"}
- {name: g, host: "::ffff:127.0.0.1"}
- {name: h, socket: /run/slapd/ldapi}
- {name: i, host: localhost.corp.example, tls: {mode: Disabled}}
- {name: j, host: "::ffff:10.0.0.1"}
- {name: k, host: dc1.corp.example, insecureAllowCleartex: true}
"#,
        &[
            r#"upstreams[0].tls.mode: passwords would go to "dc1.corp.example" in clear text; write `tls: {mode: LDAPS}` or `{mode: StartTLS}`, or consent with `insecureAllowCleartext: true`"#,
            r#"upstreams[2].tls.mode: passwords would go to "10.1.2.3" in clear text; write `tls: {mode: LDAPS}` or `{mode: StartTLS}`, or consent with `insecureAllowCleartext: true`"#,
            r#"upstreams[8].tls.mode: passwords would go to "localhost.corp.example" in clear text; write `tls: {mode: LDAPS}` or `{mode: StartTLS}`, or consent with `insecureAllowCleartext: true`"#,
            r#"upstreams[9].tls.mode: passwords would go to "::ffff:10.0.0.1" in clear text; write `tls: {mode: LDAPS}` or `{mode: StartTLS}`, or consent with `insecureAllowCleartext: true`"#,
            "upstreams[10].insecureAllowCleartex: no such field; write `insecureAllowCleartext`",
        ],
    );
}

#[test]
fn upstream_tls() {
    expect(
        r#"listeners: [{name: a, address: "127.0.0.1:3389"}]
upstreams:
- {name: a, host: localhost, tls: {caFile: ca.crt, serverName: x, minVersion: TLSv1.3, certificateFile: c.crt, keyFile: c.key}}
- {name: b, host: localhost, tls: {mode: LDAPS, caFile: ca.crt, certificateFile: client.crt}}
- {name: c, host: localhost, tls: {mode: LDAPS, caFile: ca.crt, keyFile: client.key}}
- {name: d, host: localhost, tls: {mode: LDAPS, caFile: ca.crt, serverName: "not a name"}}
- {name: e, host: localhost, tls: {mode: LDAPS, caFile: ca.crt, serverName: ""}}
- {name: f, host: localhost, tls: {mode: LDAPS, caFile: ca.crt, certificateFile: client.crt, keyFile: other.key}}
"#,
        &[
            "upstreams[0].tls.caFile: it has no effect, because tls.mode is Disabled; write `mode: LDAPS` or `mode: StartTLS`, or remove it",
            "upstreams[0].tls.serverName: it has no effect, because tls.mode is Disabled; write `mode: LDAPS` or `mode: StartTLS`, or remove it",
            "upstreams[0].tls.minVersion: it has no effect, because tls.mode is Disabled; write `mode: LDAPS` or `mode: StartTLS`, or remove it",
            "upstreams[0].tls.certificateFile: it has no effect, because tls.mode is Disabled; write `mode: LDAPS` or `mode: StartTLS`, or remove it",
            "upstreams[0].tls.keyFile: it has no effect, because tls.mode is Disabled; write `mode: LDAPS` or `mode: StartTLS`, or remove it",
            "upstreams[1].tls.certificateFile: the certificate has no key; write keyFile too",
            "upstreams[2].tls.keyFile: the key has no certificate; write certificateFile too",
            r#"upstreams[3].tls.serverName: "not a name" is neither a DNS name nor an IP address; write the name that the server's certificate carries, as in `dc1.corp.example`"#,
            r#"upstreams[4].tls.serverName: "" is neither a DNS name nor an IP address; write the name that the server's certificate carries, as in `dc1.corp.example`"#,
            "upstreams[5].tls.keyFile: the private key does not belong to the certificate; name the key that the certificate was made for; after a renewal both files change",
        ],
    );
}

#[test]
fn lives() {
    expect(
        &format!("{BASE}{}", "cache: {firstTTLSeconds: 20, ttlSeconds: 10, maxTTLSeconds: 5}\n"),
        &[
            "cache.firstTTLSeconds: 20 is above ttlSeconds, which is 10; write at most 10, or raise ttlSeconds",
            "cache.maxTTLSeconds: 5 is below ttlSeconds, which is 10; write at least 10, or lower ttlSeconds",
        ],
    );
    expect(
        &format!("{BASE}{}", "cache: {firstTTLSeconds: 0, ttlSeconds: 0, maxTTLSeconds: 0}\n"),
        &[
            "cache.firstTTLSeconds: 0 is too little; write at least 1",
            "cache.ttlSeconds: 0 is too little; write at least 1",
            "cache.maxTTLSeconds: 0 is too little; write at least 1",
        ],
    );
    expect(
        &format!("{BASE}{}", "cache: {ttlSeconds: 99999, firstTTLSeconds: x}\n"),
        &[
            "cache.maxTTLSeconds: 86400 is below ttlSeconds, which is 99999; write at least 99999, or lower ttlSeconds",
            r#"cache.firstTTLSeconds: the text "x" stands where a whole number belongs; write a whole number from 0 to 4294967295; the field's name says the unit"#,
        ],
    );
    expect(
        &format!("{BASE}{}", "cache: {ttlSeconds: 40000000, maxTTLSeconds: 40000000}\n"),
        &[
            "cache.ttlSeconds: 40000000 is too much; write at most 31622400",
            "cache.maxTTLSeconds: 40000000 is too much; write at most 31622400",
        ],
    );
}

#[test]
fn zero_and_absurd_numbers() {
    expect(
        &format!(
            "{BASE}{}",
            r"upstreamPolicy: {connectTimeoutSeconds: 0, requestTimeoutSeconds: 0, maxConnections: 0, idleTimeoutSeconds: 0, healthCheck: {intervalSeconds: 0, failureThreshold: 0, successThreshold: 0}}
cache: {maxEntries: 0, answerDelayMilliseconds: 0}
limits: {maxConnections: 0, maxConnectionsPerClient: 0, maxMessageBytes: 0, maxPipelinedRequests: 0, idleTimeoutSeconds: 0, handshakeTimeoutSeconds: 0, maxConnectionAgeSeconds: 0}
drain: {timeoutSeconds: 0}
"
        ),
        &[
            "upstreamPolicy.connectTimeoutSeconds: 0 is too little; write at least 1",
            "upstreamPolicy.requestTimeoutSeconds: 0 is too little; write at least 1",
            "upstreamPolicy.maxConnections: 0 is too little; write at least 1",
            "upstreamPolicy.idleTimeoutSeconds: 0 is too little; write at least 1",
            "upstreamPolicy.healthCheck.intervalSeconds: 0 is too little; write at least 1",
            "upstreamPolicy.healthCheck.failureThreshold: 0 is too little; write at least 1",
            "upstreamPolicy.healthCheck.successThreshold: 0 is too little; write at least 1",
            "cache.maxEntries: 0 is too little; write at least 1",
            "limits.maxConnections: 0 is too little; write at least 1",
            "limits.maxMessageBytes: 0 is too little; write at least 4096",
            "limits.maxPipelinedRequests: 0 is too little; write at least 1",
            "limits.handshakeTimeoutSeconds: 0 is too little; write at least 1",
        ],
    );
    expect(
        r#"listeners: [{name: a, address: "127.0.0.1:3389"}]
upstreams: [{name: b, host: localhost, priority: 4294967295, weight: 4294967295}]
upstreamPolicy: {connectTimeoutSeconds: 4294967295, requestTimeoutSeconds: 4294967295, maxConnections: 4294967295, idleTimeoutSeconds: 4294967295, healthCheck: {intervalSeconds: 4294967295, failureThreshold: 4294967295, successThreshold: 4294967295}}
cache: {maxEntries: 4294967295, answerDelayMilliseconds: 4294967295}
limits: {maxConnections: 4294967295, maxConnectionsPerClient: 4294967295, maxMessageBytes: 4294967295, maxPipelinedRequests: 4294967295, idleTimeoutSeconds: 4294967295, handshakeTimeoutSeconds: 4294967295, maxConnectionAgeSeconds: 4294967295}
drain: {timeoutSeconds: 4294967295}
"#,
        &[
            "upstreams[0].priority: 4294967295 is too much; write at most 1000000",
            "upstreams[0].weight: 4294967295 is too much; write at most 1000000",
            "upstreamPolicy.connectTimeoutSeconds: 4294967295 is too much; write at most 3600",
            "upstreamPolicy.requestTimeoutSeconds: 4294967295 is too much; write at most 3600",
            "upstreamPolicy.maxConnections: 4294967295 is too much; write at most 1000000",
            "upstreamPolicy.idleTimeoutSeconds: 4294967295 is too much; write at most 31622400",
            "upstreamPolicy.healthCheck.intervalSeconds: 4294967295 is too much; write at most 3600",
            "upstreamPolicy.healthCheck.failureThreshold: 4294967295 is too much; write at most 1000",
            "upstreamPolicy.healthCheck.successThreshold: 4294967295 is too much; write at most 1000",
            "cache.maxEntries: 4294967295 is too much; write at most 1000000000",
            "cache.answerDelayMilliseconds: 4294967295 is too much; write at most 60000",
            "limits.maxConnections: 4294967295 is too much; write at most 10000000",
            "limits.maxConnectionsPerClient: 4294967295 is too much; write at most 10000000",
            "limits.maxMessageBytes: 4294967295 is too much; write at most 1073741824",
            "limits.maxPipelinedRequests: 4294967295 is too much; write at most 65536",
            "limits.idleTimeoutSeconds: 4294967295 is too much; write at most 31622400",
            "limits.handshakeTimeoutSeconds: 4294967295 is too much; write at most 3600",
            "limits.maxConnectionAgeSeconds: 4294967295 is too much; write at most 31622400",
            "drain.timeoutSeconds: 4294967295 is too much; write at most 86400",
        ],
    );
}

#[test]
fn verdict_rules() {
    expect(
        &format!(
            "{BASE}{}",
            r#"cache:
  verdicts:
    rules:
    - {code: 0, action: Cache}
    - {code: 14, action: CacheShort}
    - {code: 0, action: Ignore}
    - {code: 49, diagnosticContains: "", action: Ignore}
"#
        ),
        &[
            "cache.verdicts.rules[0].code: result code 0 is no failure that could be remembered; write the code of a failure, as in 49 (invalidCredentials)",
            "cache.verdicts.rules[1].code: result code 14 is no failure that could be remembered; write the code of a failure, as in 49 (invalidCredentials)",
            "cache.verdicts.rules[3].diagnosticContains: every text contains the empty text; write a part of the diagnostic message, or remove the field",
        ],
    );
}

#[test]
fn missing_files() {
    expect(
        r#"listeners: [{name: b, address: "127.0.0.1:3636", tls: LDAPS}]
serverTLS: {certificateFile: no1.crt, keyFile: /nowhere/no2.key, clientCAFile: no3.crt, clientCertificate: Optional}
upstreams: [{name: b, host: localhost, tls: {mode: StartTLS, caFile: no4.crt, certificateFile: no5.crt, keyFile: no6.key}}]
cache: {keyFile: no7.key, previousKeyFile: no8.key}
admin: {tokenFile: no9}
"#,
        &[
            "serverTLS.certificateFile: there is no file DIR/no1.crt; MISSING",
            "serverTLS.keyFile: there is no file /nowhere/no2.key; MISSING",
            "serverTLS.clientCAFile: there is no file DIR/no3.crt; MISSING",
            "upstreams[0].tls.caFile: there is no file DIR/no4.crt; MISSING",
            "upstreams[0].tls.certificateFile: there is no file DIR/no5.crt; MISSING",
            "upstreams[0].tls.keyFile: there is no file DIR/no6.key; MISSING",
            "cache.keyFile: there is no file DIR/no7.key; MISSING",
            "cache.previousKeyFile: there is no file DIR/no8.key; MISSING",
            "admin.tokenFile: there is no file DIR/no9; MISSING",
        ],
    );
    expect(
        r#"listeners: [{name: b, address: "127.0.0.1:3636", tls: LDAPS}]
serverTLS: {certificateFile: "", keyFile: "."}
upstreams: [{name: b, host: localhost, tls: {mode: StartTLS, caFile: /dev/zero}}]
"#,
        &[
            "serverTLS.certificateFile: the path is empty; write the path of a file",
            "serverTLS.keyFile: DIR/. cannot be read: it is not a regular file; MISSING",
            "upstreams[0].tls.caFile: /dev/zero cannot be read: it is not a regular file; MISSING",
        ],
    );
}

#[test]
fn wrong_files() {
    expect(
        r#"listeners: [{name: b, address: "127.0.0.1:3636", tls: LDAPS}]
serverTLS: {certificateFile: server.key, keyFile: server.crt, clientCAFile: text, clientCertificate: Required}
upstreams:
- {name: a, host: localhost, tls: {mode: LDAPS, caFile: empty}}
- {name: b, host: localhost, tls: {mode: LDAPS, caFile: damaged.crt}}
- {name: c, host: localhost, tls: {mode: LDAPS, caFile: nocert.crt}}
- {name: d, host: localhost, tls: {mode: LDAPS, caFile: ca.crt, certificateFile: client.crt, keyFile: locked.key}}
- {name: e, host: localhost, tls: {mode: LDAPS, caFile: ca.crt, certificateFile: nocert.crt, keyFile: client.key}}
cache: {keyFile: short.key, previousKeyFile: zero.key}
admin: {tokenFile: empty}
"#,
        &[
            "serverTLS.certificateFile: DIR/server.key: it holds no certificate in PEM; write a file that has a `-----BEGIN CERTIFICATE-----` section",
            "serverTLS.keyFile: DIR/server.crt: it holds no private key in PEM; write a file that has a `-----BEGIN PRIVATE KEY-----` section",
            "serverTLS.clientCAFile: DIR/text: it holds no certificate in PEM; write a file that has a `-----BEGIN CERTIFICATE-----` section",
            "upstreams[0].tls.caFile: DIR/empty: it holds no certificate in PEM; write a file that has a `-----BEGIN CERTIFICATE-----` section",
            "upstreams[1].tls.caFile: DIR/damaged.crt: its PEM is damaged: base64 decode error: InvalidCharacter(33); copy the whole file again, with its BEGIN and END lines",
            "upstreams[2].tls.caFile: DIR/nocert.crt: certificate 1 in it cannot be read: it is no X.509 certificate; replace it; check it with `openssl x509 -in FILE -noout -text`",
            "upstreams[3].tls.keyFile: DIR/locked.key: its private key is encrypted with a pass phrase; decrypt it with `openssl pkey -in KEY -out PLAIN` and protect the file instead",
            "upstreams[4].tls.certificateFile: certificate 1 in it cannot be read: it is no X.509 certificate; replace it; check it with `openssl x509 -in FILE -noout -text`",
            "cache.keyFile: DIR/short.key: it holds 9 bytes, which is neither 32 raw bytes nor the base64 of 32; make one with `head -c 32 /dev/urandom | base64`",
            "cache.previousKeyFile: DIR/zero.key: all 32 bytes are equal; make one with `head -c 32 /dev/urandom | base64`",
            "admin.tokenFile: DIR/empty: it is empty; write one random word, as from `openssl rand -hex 32`",
        ],
    );
    expect(
        r#"listeners: [{name: b, address: "127.0.0.1:3636", tls: LDAPS}]
serverTLS: {certificateFile: server.crt, keyFile: other.key}
upstreams: [{name: b, host: localhost}]
"#,
        &[
            "serverTLS.keyFile: the private key does not belong to the certificate; name the key that the certificate was made for; after a renewal both files change",
        ],
    );
}

#[test]
fn a_key_in_place_of_its_file_is_not_repeated() {
    expect(
        &format!("{BASE}{}", "cache: {keyFile: \"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlBQkNERUY=\"}\n"),
        &["cache.keyFile: this looks like the key itself; put it into a file and write the file's path"],
    );
    expect(
        &format!("{BASE}{}", "cache: {keyFile: \"ab/yMzQ1Njc4OWFiY2Rl/jAxMjM0NTY3ODlBQkNERUY=\"}\n"),
        &["cache.keyFile: this looks like the key itself; put it into a file and write the file's path"],
    );
    expect(
        &format!("{BASE}{}", "cache: {keyFile: \"/bEyMzQ1Njc4OWFiY2Rl/jAxMjM0NTY3ODlBQkNERUY\"}\n"),
        &["cache.keyFile: this looks like the key itself; put it into a file and write the file's path"],
    );
    expect(
        r#"listeners: [{name: a, address: "127.0.0.1:3636", tls: LDAPS}]
upstreams: [{name: b, host: localhost}]
serverTLS:
  certificateFile: server.crt
  keyFile: |
    -----BEGIN PRIVATE KEY-----
    c2VjcmV0
    -----END PRIVATE KEY-----
"#,
        &["serverTLS.keyFile: these are lines, not a path; put them into a file and write the file's path"],
    );
}

#[test]
fn a_previous_key_needs_a_present_one() {
    expect(
        &format!("{BASE}{}", "cache: {previousKeyFile: previous.key}\n"),
        &[
            "cache.previousKeyFile: there is no cache.keyFile that it could precede; write the present key's file as cache.keyFile, or remove this field",
        ],
    );
}

#[test]
fn the_admin_address_is_its_own() {
    expect(
        &format!("{BASE}{}", "admin: {address: \"0.0.0.0:3389\", tokenFile: admin.token}\n"),
        &["admin.address: 0.0.0.0:3389 is also the address of listener a; write another port"],
    );
    expect(
        &format!("{BASE}{}", "admin: {address: \"9390\"}\n"),
        &[r#"admin.address: "9390" is no IP address with a port; write it as in `"127.0.0.1:3389"` or `"[::]:3389"`"#],
    );
}

#[test]
fn one_mistake_of_every_part_at_once() {
    expect(
        r#"listeners:
- {name: a, address: "127.0.0.1:3389", tls: LDAPS}
- {name: a, adress: "127.0.0.1:3390"}
upstreams:
- {name: dc1, host: dc1.corp.example}
- {name: dc1, host: dc2.corp.example, tls: {mode: LDAPS, caFile: nope.crt}}
cache: {ttlSeconds: 60, maxTTLSeconds: 30, keyFile: short.key}
limits: {maxConnections: 0, idleTimeoutSeconds: soon}
logging: {level: loud}
gossip: {}
"#,
        &[
            "listeners[0].tls: the listener has no certificate to show; write serverTLS with certificateFile and keyFile, or `tls: Disabled`",
            "listeners[1].name: the name a is taken by an earlier one; write another name",
            "listeners[1].adress: no such field; write `address`",
            r#"upstreams[0].tls.mode: passwords would go to "dc1.corp.example" in clear text; write `tls: {mode: LDAPS}` or `{mode: StartTLS}`, or consent with `insecureAllowCleartext: true`"#,
            "upstreams[1].name: the name dc1 is taken by an earlier one; write another name",
            "upstreams[1].tls.caFile: there is no file DIR/nope.crt; MISSING",
            "cache.maxTTLSeconds: 30 is below ttlSeconds, which is 60; write at least 60, or lower ttlSeconds",
            "cache.keyFile: DIR/short.key: it holds 9 bytes, which is neither 32 raw bytes nor the base64 of 32; make one with `head -c 32 /dev/urandom | base64`",
            "limits.maxConnections: 0 is too little; write at least 1",
            r#"limits.idleTimeoutSeconds: the text "soon" stands where a whole number belongs; write a whole number from 0 to 4294967295; the field's name says the unit"#,
            r#"logging.level: "loud" is not known here; write one of `error`, `warn`, `info`, `debug`, `trace`"#,
            "gossip: no such field; remove it, or write one of `admin`, `cache`, `cluster`, `drain`, `limits`, `listeners`, `logging`, `serverTLS`, `upstreamPolicy`, `upstreams`",
        ],
    );
}
