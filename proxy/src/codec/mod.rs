//! Bytes to LDAP messages and back (RFC 4511 section 4 and 5.1). Pure: no socket, no clock.
//!
//! Frames are recognised by their outer length and told apart by message ID and operation tag;
//! that is all a forwarded operation needs ([`frame`]). Binds, the few extended operations and
//! modifications that matter to the cache are decoded by borrowing parsers ([`bind_request`],
//! [`extended`], [`modify`], [`result`]); what the proxy itself says is built in [`build`] and
//! [`edit`] changes the controls of a message that passes through.
//!
//! A proxied message is never decoded and encoded again: rasn sorts `SET OF` and refuses legal
//! messages, and a client must see the octets that the directory wrote.

pub mod bind_request;
pub mod build;
pub mod control;
pub mod edit;
pub mod element;
pub mod extended;
pub mod frame;
pub mod modify;
pub mod result;

/// The tags of `protocolOp` (RFC 4511 section 4.1.1), as they stand on the wire.
pub mod op {
    /// BindRequest.
    pub const BIND_REQUEST: u8 = 0x60;
    /// BindResponse.
    pub const BIND_RESPONSE: u8 = 0x61;
    /// UnbindRequest, primitive NULL.
    pub const UNBIND_REQUEST: u8 = 0x42;
    /// UnbindRequest as some clients wrongly write it (constructed).
    pub const UNBIND_REQUEST_CONSTRUCTED: u8 = 0x62;
    /// SearchRequest.
    pub const SEARCH_REQUEST: u8 = 0x63;
    /// SearchResultEntry.
    pub const SEARCH_RESULT_ENTRY: u8 = 0x64;
    /// SearchResultDone.
    pub const SEARCH_RESULT_DONE: u8 = 0x65;
    /// ModifyRequest.
    pub const MODIFY_REQUEST: u8 = 0x66;
    /// ModifyResponse.
    pub const MODIFY_RESPONSE: u8 = 0x67;
    /// AddRequest.
    pub const ADD_REQUEST: u8 = 0x68;
    /// AddResponse.
    pub const ADD_RESPONSE: u8 = 0x69;
    /// DelRequest, primitive.
    pub const DELETE_REQUEST: u8 = 0x4A;
    /// DelResponse.
    pub const DELETE_RESPONSE: u8 = 0x6B;
    /// ModifyDNRequest.
    pub const MODIFY_DN_REQUEST: u8 = 0x6C;
    /// ModifyDNResponse.
    pub const MODIFY_DN_RESPONSE: u8 = 0x6D;
    /// CompareRequest.
    pub const COMPARE_REQUEST: u8 = 0x6E;
    /// CompareResponse.
    pub const COMPARE_RESPONSE: u8 = 0x6F;
    /// AbandonRequest, primitive.
    pub const ABANDON_REQUEST: u8 = 0x50;
    /// SearchResultReference.
    pub const SEARCH_RESULT_REFERENCE: u8 = 0x73;
    /// ExtendedRequest.
    pub const EXTENDED_REQUEST: u8 = 0x77;
    /// ExtendedResponse.
    pub const EXTENDED_RESPONSE: u8 = 0x78;
    /// IntermediateResponse (RFC 4511 section 4.13).
    pub const INTERMEDIATE_RESPONSE: u8 = 0x79;
}

/// Object identifiers that the proxy gives a meaning to.
pub mod oid {
    /// StartTLS (RFC 4511 section 4.14).
    pub const START_TLS: &[u8] = b"1.3.6.1.4.1.1466.20037";
    /// Notice of Disconnection (RFC 4511 section 4.4.1).
    pub const NOTICE_OF_DISCONNECTION: &[u8] = b"1.3.6.1.4.1.1466.20036";
    /// Password Modify (RFC 3062).
    pub const PASSWORD_MODIFY: &[u8] = b"1.3.6.1.4.1.4203.1.11.1";
    /// "Who am I?" (RFC 4532).
    pub const WHO_AM_I: &[u8] = b"1.3.6.1.4.1.4203.1.11.3";
    /// Cancel (RFC 3909).
    pub const CANCEL: &[u8] = b"1.3.6.1.1.8";
    /// passwordPolicyRequest and passwordPolicyResponse (draft-behera-ldap-password-policy).
    pub const PASSWORD_POLICY: &[u8] = b"1.3.6.1.4.1.42.2.27.8.5.1";
}

/// The result codes (RFC 4511 section 4.1.9) that the proxy answers or decides by.
pub mod code {
    /// success
    pub const SUCCESS: u32 = 0;
    /// operationsError
    pub const OPERATIONS_ERROR: u32 = 1;
    /// protocolError
    pub const PROTOCOL_ERROR: u32 = 2;
    /// authMethodNotSupported
    pub const AUTH_METHOD_NOT_SUPPORTED: u32 = 7;
    /// saslBindInProgress
    pub const SASL_BIND_IN_PROGRESS: u32 = 14;
    /// constraintViolation (389 DS: the account is locked)
    pub const CONSTRAINT_VIOLATION: u32 = 19;
    /// invalidCredentials
    pub const INVALID_CREDENTIALS: u32 = 49;
    /// busy
    pub const BUSY: u32 = 51;
    /// unavailable
    pub const UNAVAILABLE: u32 = 52;
    /// unwillingToPerform
    pub const UNWILLING_TO_PERFORM: u32 = 53;
}
