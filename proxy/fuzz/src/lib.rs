//! What must hold of any octets whatsoever. Each function panics when it does not; the fuzz targets
//! call them with what the fuzzer invents, and `tests/corpus.rs` with what is committed.

use std::path::Path;

use bindproxy::bind::name::FoldedName;
use bindproxy::clock::Tick;
use bindproxy::cluster::message::Message;
use bindproxy::cluster::wire;
use bindproxy::codec::bind_request::{self, Authentication};
use bindproxy::codec::control::Controls;
use bindproxy::codec::frame::{self, PEEK_MAX_OCTETS, Peek};
use bindproxy::codec::{edit, element, oid, op};
use bindproxy::directory::answer::Session;
use bindproxy::directory::entry::default_entries;
use bindproxy::directory::message::with_long_lengths;
use bindproxy::directory::{Directory, Flavour, Policy};
use bindproxy::listener::proxy_protocol::{self, MAX_HEADER_OCTETS};
use rasn_ldap::{AuthenticationChoice, LdapMessage, ProtocolOp};

/// A function of this module.
pub type Check = fn(&[u8]);

/// Every check, by the name of its target and of its folder in the corpus.
pub const CHECKS: [(&str, Check); 11] = [
    ("frame", frame),
    ("bind_request", bind_request),
    ("result", result),
    ("controls", controls),
    ("extended", extended),
    ("modify", modify),
    ("directory", directory),
    ("dn_fold", dn_fold),
    ("config", config),
    ("proxy_protocol", proxy_protocol),
    ("cluster_frame", cluster_frame),
];

const LIMIT: usize = 1 << 20;
const DEPTH: usize = 64;

/// The first message of `data`, if it is whole.
fn message(data: &[u8]) -> Option<(&[u8], Peek)> {
    let peek = frame::peek(data, LIMIT).ok()??;
    Some((data.get(..peek.total)?, peek))
}

/// The second opinion; never asked about messages that could exhaust its stack.
fn rasn_reads(frame: &[u8]) -> Option<LdapMessage> {
    element::check_depth(frame, DEPTH).ok()?;
    rasn::ber::decode(frame).ok()
}

/// Framing: a prefix never promises what the whole takes back, the window is wide enough, and rasn
/// sees the same message ID and operation.
pub fn frame(data: &[u8]) {
    let whole = frame::peek(data, LIMIT);
    for end in 0..data.len().min(PEEK_MAX_OCTETS + 8) {
        match frame::peek(&data[..end], LIMIT) {
            Ok(None) => assert!(end < PEEK_MAX_OCTETS, "the window is too narrow"),
            told => assert_eq!(told, whole, "after {end} octets"),
        }
    }
    // Terminates and does not panic, whatever it finds.
    let _ = element::check_depth(data, DEPTH);
    let Some((frame, peek)) = message(data) else { return };
    assert!(peek.op_offset < peek.total && frame[peek.op_offset] == peek.op);
    if let Some(message) = rasn_reads(frame) {
        assert_eq!(message.message_id, peek.message_id);
        // rasn takes no notice of the constructed bit (some clients set it on an unbind).
        assert_eq!(tag_of(&message.protocol_op).map(|tag| tag & !0x20), Some(peek.op & !0x20));
    }
}

fn tag_of(operation: &ProtocolOp) -> Option<u8> {
    Some(match operation {
        ProtocolOp::BindRequest(_) => op::BIND_REQUEST,
        ProtocolOp::BindResponse(_) => op::BIND_RESPONSE,
        ProtocolOp::UnbindRequest(_) => op::UNBIND_REQUEST,
        ProtocolOp::SearchRequest(_) => op::SEARCH_REQUEST,
        ProtocolOp::SearchResEntry(_) => op::SEARCH_RESULT_ENTRY,
        ProtocolOp::SearchResDone(_) => op::SEARCH_RESULT_DONE,
        ProtocolOp::SearchResRef(_) => op::SEARCH_RESULT_REFERENCE,
        ProtocolOp::ModifyRequest(_) => op::MODIFY_REQUEST,
        ProtocolOp::ModifyResponse(_) => op::MODIFY_RESPONSE,
        ProtocolOp::AddRequest(_) => op::ADD_REQUEST,
        ProtocolOp::AddResponse(_) => op::ADD_RESPONSE,
        ProtocolOp::DelRequest(_) => op::DELETE_REQUEST,
        ProtocolOp::DelResponse(_) => op::DELETE_RESPONSE,
        ProtocolOp::ModDnRequest(_) => op::MODIFY_DN_REQUEST,
        ProtocolOp::ModDnResponse(_) => op::MODIFY_DN_RESPONSE,
        ProtocolOp::CompareRequest(_) => op::COMPARE_REQUEST,
        ProtocolOp::CompareResponse(_) => op::COMPARE_RESPONSE,
        ProtocolOp::AbandonRequest(_) => op::ABANDON_REQUEST,
        ProtocolOp::ExtendedReq(_) => op::EXTENDED_REQUEST,
        ProtocolOp::ExtendedResp(_) => op::EXTENDED_RESPONSE,
        ProtocolOp::IntermediateResponse(_) => op::INTERMEDIATE_RESPONSE,
        _ => return None,
    })
}

fn assert_same_controls(ours: Controls<'_>, theirs: Option<&rasn_ldap::Controls>) {
    let theirs = theirs.map(Vec::as_slice).unwrap_or_default();
    assert_eq!(ours.iter().count(), theirs.len());
    for (ours, theirs) in ours.iter().zip(theirs) {
        assert_eq!(ours.oid, &theirs.control_type[..]);
        assert_eq!(ours.critical, theirs.criticality);
        assert_eq!(ours.value, theirs.control_value.as_deref());
    }
}

/// Binds: what both readers accept they read alike, and no print shows the password.
pub fn bind_request(data: &[u8]) {
    let Some((frame, peek)) = message(data) else { return };
    let Ok(ours) = bind_request::parse(frame, &peek) else { return };
    assert_eq!(peek.op, op::BIND_REQUEST);
    if let Authentication::Simple(password) = ours.authentication {
        assert_eq!(format!("{:?}", ours.authentication), format!("Simple({} octets)", password.len()));
    }
    let Some(ProtocolOp::BindRequest(theirs)) = rasn_reads(frame).map(|message| message.protocol_op) else { return };
    assert_eq!(ours.version, i32::from(theirs.version));
    assert_eq!(ours.name, theirs.name.as_bytes());
    match (ours.authentication, &theirs.authentication) {
        (Authentication::Simple(ours), AuthenticationChoice::Simple(theirs)) => assert_eq!(ours, &theirs[..]),
        (Authentication::Sasl { mechanism }, AuthenticationChoice::Sasl(theirs)) => {
            assert_eq!(mechanism, theirs.mechanism.as_bytes());
        }
        // The right choice in the wrong form: rasn joins a constructed string, the cache keeps away.
        (Authentication::Other(0xA0), AuthenticationChoice::Simple(_)) => {}
        (Authentication::Other(0x83), AuthenticationChoice::Sasl(_)) => {}
        (ours, _) => panic!("rasn reads another authentication than {ours:?}"),
    }
    assert_same_controls(ours.controls, rasn_reads(frame).and_then(|message| message.controls).as_ref());
}

/// Results: read as rasn reads them, and a stored answer under a new message ID is the same answer.
pub fn result(data: &[u8]) {
    let Some((frame, peek)) = message(data) else { return };
    let Ok(ours) = bindproxy::codec::result::parse(frame, &peek) else { return };
    let replayed = edit::assemble(0x0102_0304, ours.operation, ours.controls.iter().map(|control| control.whole));
    let replayed_peek = frame::peek(&replayed, usize::MAX).unwrap().unwrap();
    assert_eq!((replayed_peek.message_id, replayed_peek.total), (0x0102_0304, replayed.len()));
    let again = bindproxy::codec::result::parse(&replayed, &replayed_peek).unwrap();
    assert_eq!(again, ours);
    let Some(message) = rasn_reads(frame) else { return };
    let (code, matched, diagnostic) = match &message.protocol_op {
        ProtocolOp::BindResponse(it) => (it.result_code as u32, &it.matched_dn, &it.diagnostic_message),
        ProtocolOp::ExtendedResp(it) => (it.result_code as u32, &it.matched_dn, &it.diagnostic_message),
        ProtocolOp::SearchResDone(it) => (it.0.result_code as u32, &it.0.matched_dn, &it.0.diagnostic_message),
        ProtocolOp::ModifyResponse(it) => (it.0.result_code as u32, &it.0.matched_dn, &it.0.diagnostic_message),
        ProtocolOp::CompareResponse(it) => (it.0.result_code as u32, &it.0.matched_dn, &it.0.diagnostic_message),
        _ => return,
    };
    assert_eq!((ours.code, ours.matched_dn, ours.diagnostic), (code, matched.as_bytes(), diagnostic.as_bytes()));
    assert_same_controls(ours.controls, message.controls.as_ref());
}

/// Controls, alone and on a message: nothing is lost between two of them, what is added can be read
/// and taken away again, and the operation stays as it was.
pub fn controls(data: &[u8]) {
    if let Ok(controls) = Controls::parse(data) {
        let octets: Vec<u8> = controls.iter().flat_map(|control| control.whole.to_vec()).collect();
        assert_eq!(octets, data);
    }
    let Some((frame, peek)) = message(data) else { return };
    let Ok(with) = edit::add_password_policy_request(frame, &peek) else { return };
    let with_peek = frame::peek(&with, usize::MAX).unwrap().unwrap();
    assert_eq!((with_peek.total, with_peek.message_id, with_peek.op), (with.len(), peek.message_id, peek.op));
    let rest = |frame: &[u8], peek: &Peek| {
        let mut rest = &frame[peek.op_offset..peek.total];
        let operation = element::take(&mut rest).unwrap().whole.to_vec();
        let controls = if rest.is_empty() { Vec::new() } else { element::take(&mut rest).unwrap().body.to_vec() };
        (operation, controls)
    };
    let (operation, controls_before) = rest(frame, &peek);
    let (operation_with, controls_with) = rest(&with, &with_peek);
    assert_eq!(operation, operation_with);
    assert!(controls_with.starts_with(&controls_before));
    let added = Controls::parse(&controls_with).unwrap().iter().last().unwrap();
    assert!(added.oid == oid::PASSWORD_POLICY && !added.critical && added.value.is_none());
    let without = edit::strip_password_policy_response(&with, &with_peek).unwrap();
    let without_peek = frame::peek(&without, usize::MAX).unwrap().unwrap();
    let (operation_without, controls_without) = rest(&without, &without_peek);
    assert_eq!(operation, operation_without);
    let kept: Vec<u8> = edit::without_password_policy(Controls::parse(&controls_before).unwrap())
        .flat_map(|control| control.whole.to_vec())
        .collect();
    assert_eq!(controls_without, kept);
}

/// Extended operations, and whatever may stand in a Password Modify value.
pub fn extended(data: &[u8]) {
    if let Some(user) = bindproxy::codec::extended::password_modify_user(Some(data)) {
        assert!(user.is_empty() || data.windows(user.len()).any(|window| window == user));
    }
    let Some((frame, peek)) = message(data) else { return };
    let _ = bindproxy::codec::extended::response_name(frame, &peek);
    let ours = bindproxy::codec::extended::parse_request(frame, &peek);
    match (ours, rasn_reads(frame).map(|message| message.protocol_op)) {
        (Ok(ours), Some(ProtocolOp::ExtendedReq(theirs))) => {
            assert_eq!(ours.oid, &theirs.request_name[..]);
            assert_eq!(ours.value, theirs.request_value.as_deref());
        }
        (Ok(_), Some(other)) => panic!("rasn reads {other:?}"),
        _ => {}
    }
    if let Some(ProtocolOp::ExtendedResp(theirs)) = rasn_reads(frame).map(|message| message.protocol_op) {
        // rasn joins the segments of a constructed string, which LDAP does not have (RFC 4511
        // section 5.1) and we do not read.
        if let Some(ours) = bindproxy::codec::extended::response_name(frame, &peek) {
            assert_eq!(Some(ours), theirs.response_name.as_deref());
        }
    }
}

/// Modifications: a change of the password is seen, and it is seen on the right entry.
pub fn modify(data: &[u8]) {
    let Some((frame, peek)) = message(data) else { return };
    let Ok(ours) = bindproxy::codec::modify::credential_change(frame, &peek) else { return };
    let Some(ProtocolOp::ModifyRequest(theirs)) = rasn_reads(frame).map(|message| message.protocol_op) else { return };
    let changes_password = theirs.changes.iter().any(|change| {
        let name = change.modification.r#type.split(';').next().unwrap_or_default();
        name.eq_ignore_ascii_case("userPassword") || name.eq_ignore_ascii_case("unicodePwd")
    });
    match ours {
        Some(entry) => assert_eq!(entry, theirs.object.as_bytes()),
        None => assert!(!changes_password),
    }
}

/// The embedded directory: whatever a connection sends, each answer is a message with the ID of its
/// request (0 for a notice), in short lengths or long.
pub fn directory(data: &[u8]) {
    let mut directory = Directory::new(default_entries(), Policy::default(), Flavour::default(), false);
    let mut session = Session::default();
    let mut rest = data;
    while let Some((frame, peek)) = message(rest) {
        rest = &rest[peek.total..];
        let answer = directory.handle(&mut session, frame, &peek, Tick(1_000_000));
        for octets in answer.messages {
            let told = frame::peek(&octets, usize::MAX).unwrap().unwrap();
            assert_eq!(told.total, octets.len());
            assert!(told.message_id == peek.message_id || told.message_id == 0);
            let long = with_long_lengths(&octets);
            let again = frame::peek(&long, usize::MAX).unwrap().unwrap();
            assert_eq!((again.total, again.message_id, again.op), (long.len(), told.message_id, told.op));
        }
    }
}

/// Names: folding an already folded name changes nothing, and neither case nor the spaces around it
/// make another name of a DN.
pub fn dn_fold(data: &[u8]) {
    let folded = FoldedName::new(data);
    let again = FoldedName::new(folded.as_bytes());
    assert_eq!(again.as_bytes(), folded.as_bytes(), "folding twice is folding once");
    assert_eq!(FoldedName::new(&data.to_ascii_uppercase()).as_bytes(), folded.as_bytes());
    assert!(folded.as_bytes().len() <= 3 * data.len().max(1), "escapes are the only thing that grows");
}

/// Configuration files: every text ends in a configuration or in problems that can be printed.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // Nothing of the machine is named by it: relative paths lead nowhere.
    match bindproxy::config::load_text(text, Path::new("/nonexistent")) {
        Ok(loaded) => assert!(!loaded.config.listeners.is_empty() && !loaded.config.upstreams.is_empty()),
        Err(problems) => assert!(!problems.to_string().is_empty()),
    }
}

/// PROXY protocol: a prefix never promises what the whole takes back, and a header is not longer
/// than what was read.
pub fn proxy_protocol(data: &[u8]) {
    let whole = proxy_protocol::parse(data);
    for end in 0..data.len().min(64) {
        match proxy_protocol::parse(&data[..end]) {
            Ok(None) => {}
            told => assert_eq!(told, whole, "after {end} octets"),
        }
    }
    if let Ok(Some(header)) = whole {
        assert!(header.octets <= data.len() && header.octets <= MAX_HEADER_OCTETS);
        assert_eq!(proxy_protocol::parse(&data[..header.octets]), whole);
    }
}

/// A member's frame, without its length: what is read holds no more than the frame has octets for, can be
/// written, and then is read as the same.
pub fn cluster_frame(data: &[u8]) {
    // As the start of a stream, it has a length or none.
    if let Ok(Some(length)) = wire::frame_length(data) {
        assert!((wire::LENGTH_OCTETS..=wire::LENGTH_OCTETS + wire::MAX_FRAME_OCTETS).contains(&length));
    }
    let Ok(message) = wire::decode(data) else { return };
    match &message {
        Message::Unknown(kind) => return assert_eq!(data.first(), Some(kind)),
        Message::Facts { facts, .. } | Message::SnapshotPart { facts, .. } => assert!(facts.len() * 8 <= data.len()),
        Message::Leaves { leaves, .. } | Message::Want { leaves, .. } => {
            let fingerprints: usize = leaves.iter().map(|leaf| leaf.fingerprints.len()).sum();
            assert!(leaves.len() * 6 + fingerprints * 8 <= data.len());
        }
        _ => {}
    }
    let mut out = Vec::new();
    wire::encode(&message, &mut out).unwrap();
    assert_eq!(wire::frame_length(&out), Ok(Some(out.len())));
    assert_eq!(wire::decode(&out[wire::LENGTH_OCTETS..]), Ok(message));
}
