//! What members tell each other gives no password and no name away, nor a hash that anybody could
//! compute: looked for in what a member says to a genuine one, before TLS.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use bindproxy::cluster::message::Message;
use bindproxy_tests::lab::device::login;
use bindproxy_tests::lab::impostor::Impostor;
use bindproxy_tests::{request, scrape};

use crate::forged::{FIRST_PORT, lab, wait_until_dialled};
use crate::stage::{SOON, slapd};

const STALE: &str = "stale-Pa55word-that-must-not-be-seen";
const RIGHT: &str = "right-Pa55word-that-must-not-be-seen";
const UID: &str = "secret-Person-of-the-lab";

/// Everything that must not be seen, with a name for the message.
fn forbidden(dn: &str) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    let lower = (dn.to_lowercase(), UID.to_lowercase());
    for text in [STALE, RIGHT, UID, dn, &lower.0, &lower.1, &dn.to_uppercase()] {
        all.push((text.to_owned(), text.as_bytes().to_vec()));
        for algorithm in ["-md5", "-sha1", "-sha256", "-sha512", "-blake2b512"] {
            let hash = openssl(&["dgst", algorithm, "-binary"], text.as_bytes());
            let hex: String = hash.iter().map(|octet| format!("{octet:02x}")).collect();
            let base64 = openssl(&["base64", "-A"], &hash);
            all.push((format!("{algorithm} of {text} in base64"), base64[..20].to_vec()));
            all.push((format!("{algorithm} of {text} in hexadecimal"), hex.as_bytes()[..32].to_vec()));
            // A digest may be cut to 16 octets.
            all.push((format!("{algorithm} of {text}"), hash[..16].to_vec()));
        }
    }
    all
}

fn openssl(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("start openssl");
    child.stdin.take().expect("a pipe").write_all(input).expect("write to openssl");
    let output = child.wait_with_output().expect("wait for openssl");
    assert!(output.status.success());
    output.stdout
}

fn contains(octets: &[u8], wanted: &[u8]) -> bool {
    octets.windows(wanted.len()).any(|part| part == wanted)
}

#[test]
fn frames_logs_and_metrics_give_nothing_away() {
    let lab = lab(1);
    let cluster = &lab.credentials().cluster;
    let authority = &lab.credentials().authority;
    let member = authority.member("genuine", cluster);
    let genuine = Impostor::new(&member, &authority.ca_file, cluster, cluster).with_the_right_keys();
    let waiting = genuine.wait_at(lab.root(FIRST_PORT));
    wait_until_dialled(&lab, SOON * 3);

    let dn = slapd().add_user(UID, RIGHT);
    for pod in lab.pods() {
        assert_eq!(login(pod, &dn, STALE).0, 49);
        assert_eq!(login(pod, &dn, RIGHT).0, 0);
    }
    let mut owner = lab.pod(0).endpoint().connect();
    assert_eq!(owner.bind(&dn, RIGHT), 0);
    assert_eq!(owner.ask(&request::password_modify(None, Some(RIGHT), STALE)).code(), 0);
    assert_eq!(login(lab.pod(0), &dn, "yet-another").0, 49);
    // What the admin API asks of the others, and what they answer.
    let _explained = lab.pod(0).ask_api(&format!("/api/v1/explain?name={dn}"));
    let _offenders = lab.pod(0).ask_api("/api/v1/offenders?limit=10");
    let _flushed = lab.pod(0).flush(&dn);
    std::thread::sleep(Duration::from_millis(500));

    let heard = waiting.end();
    let messages: Vec<&Message> = heard.iter().flat_map(|heard| &heard.messages).collect();
    let told = messages.iter().filter(|message| matches!(message, Message::Facts { .. })).count();
    let asked = messages.iter().filter(|message| matches!(message, Message::Query { .. })).count();
    println!("{} messages, {told} with facts, {asked} queries", messages.len());
    assert!(told > 0 && asked > 0, "nothing was captured that could give anything away: {messages:?}");

    let mut places: Vec<(String, Vec<u8>)> =
        heard.into_iter().map(|heard| ("a frame".to_owned(), heard.octets)).collect();
    for pod in lab.pods() {
        let (_, metrics) = scrape::get(pod.admin(), "/metrics").expect("metrics");
        places.push((format!("the metrics of {}", pod.name()), metrics.into_bytes()));
        places.push((format!("the log of {}", pod.name()), pod.log().into_bytes()));
    }
    for (what, wanted) in forbidden(&dn) {
        for (place, octets) in &places {
            assert!(!contains(octets, &wanted), "{place} contains {what}");
        }
        // The search finds what is there.
        assert!(contains(&[b"...", &wanted[..], b"..."].concat(), &wanted));
    }
}
