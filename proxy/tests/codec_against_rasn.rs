//! Two readers of one message: rasn-ldap encodes what a random client or directory would write, and
//! the codec must read the same fields from it, in short and in long length form.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking, in its helpers too")]

use bindproxy::codec::bind_request::{self, Authentication};
use bindproxy::codec::control::Controls;
use bindproxy::codec::frame::{self, Peek};
use bindproxy::codec::{edit, element, extended, modify, oid, op, result};
use bindproxy::directory::message::with_long_lengths;
use proptest::prelude::*;
use rasn_ldap::{
    AuthenticationChoice, BindRequest, BindResponse, ChangeOperation, Control, ExtendedRequest, ExtendedResponse,
    LdapMessage, LdapResult, ModifyRequest, ModifyRequestChanges, PartialAttribute, ProtocolOp, ResultCode,
    SaslCredentials, SearchResultDone,
};

/// Sizes on both sides of every change of the length field.
fn octets() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => proptest::collection::vec(any::<u8>(), 0..40),
        2 => (120_usize..140).prop_flat_map(|length| proptest::collection::vec(any::<u8>(), length)),
        1 => (250_usize..262).prop_flat_map(|length| proptest::collection::vec(any::<u8>(), length)),
        1 => Just(vec![7; 70_000]),
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![4 => "\\PC{0,20}", 2 => "uid=[a-z ,=+]{0,12},dc=(example|org)", 1 => "x{120,135}"]
}

fn message_id() -> impl Strategy<Value = u32> {
    prop_oneof![0_u32..300, 32_000_u32..33_000, Just(8_388_607), Just(8_388_608), 0_u32..=i32::MAX as u32]
}

fn controls() -> impl Strategy<Value = Option<Vec<Control>>> {
    let oid =
        prop_oneof![Just(oid::PASSWORD_POLICY.to_vec()), "1\\.2(\\.[0-9]{1,5}){1,6}".prop_map(String::into_bytes)];
    let control = (oid, any::<bool>(), proptest::option::of(octets()))
        .prop_map(|(oid, critical, value)| Control::new(oid.into(), critical, value.map(Into::into)));
    proptest::option::of(proptest::collection::vec(control, 1..4))
}

fn code() -> impl Strategy<Value = ResultCode> {
    proptest::sample::select(vec![
        ResultCode::Success,
        ResultCode::OperationsError,
        ResultCode::ProtocolError,
        ResultCode::Referral,
        ResultCode::UnavailableCriticalExtension,
        ResultCode::SaslBindInProgress,
        ResultCode::ConstraintViolation,
        ResultCode::NoSuchObject,
        ResultCode::InvalidCredentials,
        ResultCode::Busy,
        ResultCode::Unavailable,
        ResultCode::UnwillingToPerform,
        ResultCode::Other,
    ])
}

fn attribute() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("userPassword".to_owned()),
        Just("UNICODEPWD".to_owned()),
        Just("userpassword;x-old".to_owned()),
        Just("lockoutTime".to_owned()),
        "[a-zA-Z]{1,12}(;[a-z]{1,5})?",
    ]
}

/// The message in the form that rasn writes and in the form that Active Directory writes.
fn both_forms(id: u32, operation: ProtocolOp, controls: Option<Vec<Control>>) -> [Vec<u8>; 2] {
    let mut message = LdapMessage::new(id, operation);
    message.controls = controls;
    let short = rasn::ber::encode(&message).expect("rasn writes what it was given");
    let long = with_long_lengths(&short);
    [short, long]
}

fn peeked(frame: &[u8], id: u32, operation: u8) -> Peek {
    let peek = frame::peek(frame, usize::MAX).unwrap().unwrap();
    assert_eq!((peek.total, peek.message_id, peek.op), (frame.len(), id, operation));
    assert_eq!(element::check_depth(frame, 16), Ok(()));
    peek
}

fn assert_controls(ours: Controls<'_>, theirs: Option<&Vec<Control>>) {
    let ours: Vec<_> = ours.iter().map(|it| (it.oid.to_vec(), it.critical, it.value.map(<[u8]>::to_vec))).collect();
    let theirs: Vec<_> = theirs
        .into_iter()
        .flatten()
        .map(|it| (it.control_type.to_vec(), it.criticality, it.control_value.as_deref().map(<[u8]>::to_vec)))
        .collect();
    assert_eq!(ours, theirs);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn simple_binds(id in message_id(), version in 0_u8..=127, name in text(), password in octets(), controls in controls()) {
        let choice = AuthenticationChoice::Simple(password.clone().into());
        let request = ProtocolOp::BindRequest(BindRequest::new(version, name.as_str().into(), choice));
        for frame in both_forms(id, request.clone(), controls.clone()) {
            let peek = peeked(&frame, id, op::BIND_REQUEST);
            let bind = bind_request::parse(&frame, &peek).unwrap();
            prop_assert_eq!(bind.version, i32::from(version));
            prop_assert_eq!(bind.name, name.as_bytes());
            prop_assert_eq!(bind.authentication, Authentication::Simple(&password));
            assert_controls(bind.controls, controls.as_ref());
        }
    }

    #[test]
    fn sasl_binds(id in message_id(), mechanism in "[A-Z0-9-]{1,20}", credentials in proptest::option::of(octets()), controls in controls()) {
        let credentials = SaslCredentials::new(mechanism.as_str().into(), credentials.map(Into::into));
        let request = ProtocolOp::BindRequest(BindRequest::new(3, "".into(), AuthenticationChoice::Sasl(credentials)));
        for frame in both_forms(id, request.clone(), controls.clone()) {
            let bind = bind_request::parse(&frame, &peeked(&frame, id, op::BIND_REQUEST)).unwrap();
            prop_assert_eq!(bind.authentication, Authentication::Sasl { mechanism: mechanism.as_bytes() });
            assert_controls(bind.controls, controls.as_ref());
        }
    }

    #[test]
    fn results_and_their_replay(
        id in message_id(), new_id in message_id(), code in code(), matched in text(), diagnostic in text(),
        credentials in proptest::option::of(octets()), controls in controls(),
    ) {
        let bind = BindResponse::new(code, matched.as_str().into(), diagnostic.as_str().into(), None, credentials.map(Into::into));
        let done = LdapResult::new(code, matched.as_str().into(), diagnostic.as_str().into());
        let operations = [
            (op::BIND_RESPONSE, ProtocolOp::BindResponse(bind)),
            (op::SEARCH_RESULT_DONE, ProtocolOp::SearchResDone(SearchResultDone(done))),
        ];
        for (tag, operation) in operations {
            for frame in both_forms(id, operation.clone(), controls.clone()) {
                let answer = result::parse(&frame, &peeked(&frame, id, tag)).unwrap();
                prop_assert_eq!(answer.code, code as u32);
                prop_assert_eq!(answer.matched_dn, matched.as_bytes());
                prop_assert_eq!(answer.diagnostic, diagnostic.as_bytes());
                assert_controls(answer.controls, controls.as_ref());
                let replayed = edit::assemble(new_id, answer.operation, answer.controls.iter().map(|it| it.whole));
                let mut expected = LdapMessage::new(new_id, operation.clone());
                expected.controls = controls.clone();
                prop_assert_eq!(rasn::ber::decode::<LdapMessage>(&replayed).unwrap(), expected);
            }
        }
    }

    #[test]
    fn extended_operations(id in message_id(), name in "1\\.3(\\.[0-9]{1,4}){1,5}", value in proptest::option::of(octets()), diagnostic in text()) {
        let request = ProtocolOp::ExtendedReq(ExtendedRequest {
            request_name: name.clone().into_bytes().into(),
            request_value: value.clone().map(Into::into),
        });
        for frame in both_forms(id, request.clone(), None) {
            let read = extended::parse_request(&frame, &peeked(&frame, id, op::EXTENDED_REQUEST)).unwrap();
            prop_assert_eq!((read.oid, read.value), (name.as_bytes(), value.as_deref()));
        }
        let response = ProtocolOp::ExtendedResp(ExtendedResponse {
            result_code: ResultCode::Success,
            matched_dn: "".into(),
            diagnostic_message: diagnostic.as_str().into(),
            referral: Some(vec!["ldap://other/".into()]),
            response_name: value.as_ref().map(|_| name.clone().into_bytes().into()),
            response_value: value.clone().map(Into::into),
        });
        for frame in both_forms(id, response.clone(), None) {
            let peek = peeked(&frame, id, op::EXTENDED_RESPONSE);
            prop_assert_eq!(extended::response_name(&frame, &peek), value.as_ref().map(|_| name.as_bytes()));
        }
    }

    #[test]
    fn modifications(id in message_id(), entry in text(), attributes in proptest::collection::vec(attribute(), 0..5)) {
        let changes = attributes
            .iter()
            .map(|name| ModifyRequestChanges {
                operation: ChangeOperation::Replace,
                modification: PartialAttribute::new(name.as_str().into(), rasn::types::SetOf::from_vec(vec![b"v"[..].into()])),
            })
            .collect();
        let request = ProtocolOp::ModifyRequest(ModifyRequest { object: entry.as_str().into(), changes });
        let concerned = attributes.iter().any(|name| {
            let name = name.split(';').next().unwrap().to_ascii_lowercase();
            ["userpassword", "unicodepwd", "lockouttime"].contains(&name.as_str())
        });
        for frame in both_forms(id, request.clone(), None) {
            let seen = modify::credential_change(&frame, &peeked(&frame, id, op::MODIFY_REQUEST)).unwrap();
            prop_assert_eq!(seen, concerned.then_some(entry.as_bytes()));
        }
    }

    #[test]
    fn the_policy_control_comes_and_goes(id in message_id(), password in octets(), controls in controls()) {
        let choice = AuthenticationChoice::Simple(password.into());
        let request = ProtocolOp::BindRequest(BindRequest::new(3, "cn=a".into(), choice));
        for frame in both_forms(id, request.clone(), controls.clone()) {
            let with = edit::add_password_policy_request(&frame, &peeked(&frame, id, op::BIND_REQUEST)).unwrap();
            let mut expected = controls.clone().unwrap_or_default();
            expected.push(Control::new(oid::PASSWORD_POLICY.to_vec().into(), false, None));
            let read = rasn::ber::decode::<LdapMessage>(&with).unwrap();
            prop_assert_eq!(read.controls, Some(expected.clone()));
            prop_assert_eq!(&read.protocol_op, &request);
            let stripped = edit::strip_password_policy_response(&with, &peeked(&with, id, op::BIND_REQUEST)).unwrap();
            expected.retain(|control| &control.control_type[..] != oid::PASSWORD_POLICY);
            let read = rasn::ber::decode::<LdapMessage>(&stripped).unwrap();
            prop_assert_eq!(read.controls.unwrap_or_default(), expected);
        }
    }

    #[test]
    fn a_message_cut_anywhere_asks_for_more_or_says_the_same(id in message_id(), password in octets()) {
        let choice = AuthenticationChoice::Simple(password.into());
        let request = ProtocolOp::BindRequest(BindRequest::new(3, "cn=a".into(), choice));
        for frame in both_forms(id, request.clone(), None) {
            let whole = frame::peek(&frame, usize::MAX);
            for end in 0..frame.len().min(64) {
                let told = frame::peek(&frame[..end], usize::MAX);
                prop_assert!(told == Ok(None) || told == whole, "after {} octets: {:?}", end, told);
            }
        }
    }
}
