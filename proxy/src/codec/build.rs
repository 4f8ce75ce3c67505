//! The messages that the proxy itself originates, built with rasn-ldap.

use rasn_ldap::{
    AuthenticationChoice, BindRequest, BindResponse, ExtendedResponse, LdapMessage, LdapString, ProtocolOp, ResultCode,
};

use super::{code, edit, element, oid, op};

/// A simple bind, for the directory client of the health check and for tests.
#[must_use]
pub fn simple_bind(message_id: u32, name: &str, password: &[u8]) -> Vec<u8> {
    let authentication = AuthenticationChoice::Simple(password.to_vec().into());
    encode(message_id, ProtocolOp::BindRequest(BindRequest::new(3, name.into(), authentication)))
}

/// An anonymous bind: resets the identity of an upstream connection (RFC 4513 section 5.1.1).
#[must_use]
pub fn anonymous_bind(message_id: u32) -> Vec<u8> {
    simple_bind(message_id, "", b"")
}

/// An unbind.
#[must_use]
pub fn unbind(message_id: u32) -> Vec<u8> {
    edit::assemble(message_id, &[op::UNBIND_REQUEST, 0], std::iter::empty())
}

/// An abandon of the operation with message ID `target`.
#[must_use]
pub fn abandon(message_id: u32, target: u32) -> Vec<u8> {
    encode(message_id, ProtocolOp::AbandonRequest(rasn_ldap::AbandonRequest(target)))
}

/// A BindResponse of the proxy's own.
#[must_use]
pub fn bind_response(message_id: u32, result: u32, diagnostic: &str) -> Vec<u8> {
    let response = BindResponse::new(known_code(result), "".into(), diagnostic.into(), None, None);
    encode(message_id, ProtocolOp::BindResponse(response))
}

/// An ExtendedResponse of the proxy's own, with the name of the operation where it has one.
#[must_use]
pub fn extended_response(message_id: u32, result: u32, diagnostic: &str, name: Option<&[u8]>) -> Vec<u8> {
    let response = ExtendedResponse {
        result_code: known_code(result),
        matched_dn: "".into(),
        diagnostic_message: diagnostic.into(),
        referral: None,
        response_name: name.map(|name| name.to_vec().into()),
        response_value: None,
    };
    encode(message_id, ProtocolOp::ExtendedResp(response))
}

/// An extended request without a value.
#[must_use]
pub fn extended_request(message_id: u32, name: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(name.len() + 2);
    element::put_header(&mut body, 0x80, name.len());
    body.extend_from_slice(name);
    let mut operation = Vec::with_capacity(body.len() + 2);
    element::put_header(&mut operation, op::EXTENDED_REQUEST, body.len());
    operation.extend_from_slice(&body);
    edit::assemble(message_id, &operation, std::iter::empty())
}

/// Notice of Disconnection (RFC 4511 section 4.4.1): message ID 0, then the connection closes.
#[must_use]
pub fn notice_of_disconnection(result: u32, diagnostic: &str) -> Vec<u8> {
    extended_response(0, result, diagnostic, Some(oid::NOTICE_OF_DISCONNECTION))
}

/// The final response to the request with operation tag `request`, for a fault of the proxy's or
/// the directory's. `None` for requests that get no response (unbind, abandon).
#[must_use]
pub fn fault_response(message_id: u32, request: u8, result: u32, diagnostic: &str) -> Option<Vec<u8>> {
    let response = match request {
        op::BIND_REQUEST => return Some(bind_response(message_id, result, diagnostic)),
        op::EXTENDED_REQUEST => return Some(extended_response(message_id, result, diagnostic, None)),
        op::SEARCH_REQUEST => op::SEARCH_RESULT_DONE,
        op::MODIFY_REQUEST => op::MODIFY_RESPONSE,
        op::ADD_REQUEST => op::ADD_RESPONSE,
        op::DELETE_REQUEST => op::DELETE_RESPONSE,
        op::MODIFY_DN_REQUEST => op::MODIFY_DN_RESPONSE,
        op::COMPARE_REQUEST => op::COMPARE_RESPONSE,
        _ => return None,
    };
    // The same LDAPResult under the response's own application tag: six responses are nothing
    // but an LDAPResult (RFC 4511 sections 4.5 to 4.10).
    let mut body = vec![element::ENUMERATED, 1, u8::try_from(result).unwrap_or(80), element::OCTET_STRING, 0];
    element::put_header(&mut body, element::OCTET_STRING, diagnostic.len());
    body.extend_from_slice(diagnostic.as_bytes());
    let mut operation = Vec::with_capacity(body.len() + 6);
    element::put_header(&mut operation, response, body.len());
    operation.extend_from_slice(&body);
    Some(edit::assemble(message_id, &operation, std::iter::empty()))
}

/// A base search of `base` for `attributes` with the filter `(objectClass=*)`.
#[must_use]
pub fn base_search(message_id: u32, base: &str, attributes: &[&str], time_limit_seconds: u32) -> Vec<u8> {
    let search = rasn_ldap::SearchRequest::new(
        base.into(),
        rasn_ldap::SearchRequestScope::BaseObject,
        rasn_ldap::SearchRequestDerefAliases::NeverDerefAliases,
        1,
        time_limit_seconds,
        false,
        rasn_ldap::Filter::Present("objectClass".into()),
        attributes.iter().map(|&attribute| LdapString::from(attribute)).collect(),
    );
    encode(message_id, ProtocolOp::SearchRequest(search))
}

fn known_code(result: u32) -> ResultCode {
    match result {
        code::SUCCESS => ResultCode::Success,
        code::OPERATIONS_ERROR => ResultCode::OperationsError,
        code::PROTOCOL_ERROR => ResultCode::ProtocolError,
        code::AUTH_METHOD_NOT_SUPPORTED => ResultCode::AuthMethodNotSupported,
        code::INVALID_CREDENTIALS => ResultCode::InvalidCredentials,
        code::BUSY => ResultCode::Busy,
        code::UNAVAILABLE => ResultCode::Unavailable,
        code::UNWILLING_TO_PERFORM => ResultCode::UnwillingToPerform,
        _ => ResultCode::Other,
    }
}

fn encode(message_id: u32, operation: ProtocolOp) -> Vec<u8> {
    // Encoding owned, in-range values has no way to fail; an empty message would be refused by
    // the peer's framing and is covered by the tests below for every message.
    rasn::ber::encode(&LdapMessage::new(message_id, operation)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::{frame, result};
    use super::*;

    #[test]
    fn what_is_built_is_what_is_read() {
        let cases = [
            (notice_of_disconnection(2, "x"), 0, op::EXTENDED_RESPONSE, Some(2)),
            (bind_response(5, 52, "down"), 5, op::BIND_RESPONSE, Some(52)),
            (fault_response(6, op::SEARCH_REQUEST, 52, "down").unwrap(), 6, op::SEARCH_RESULT_DONE, Some(52)),
            (fault_response(6, op::DELETE_REQUEST, 51, "").unwrap(), 6, op::DELETE_RESPONSE, Some(51)),
            (anonymous_bind(7), 7, op::BIND_REQUEST, None),
            (unbind(8), 8, op::UNBIND_REQUEST, None),
            (abandon(9, 200), 9, op::ABANDON_REQUEST, None),
            (base_search(10, "", &["vendorName"], 5), 10, op::SEARCH_REQUEST, None),
        ];
        for (bytes, id, tag, code) in cases {
            let peek = frame::peek(&bytes, 1000).unwrap().unwrap();
            assert_eq!((peek.total, peek.message_id, peek.op), (bytes.len(), id, tag));
            if let Some(code) = code {
                assert_eq!(result::parse(&bytes, &peek).unwrap().code, code);
            }
            rasn::ber::decode::<LdapMessage>(&bytes).unwrap();
        }
    }
}
