//! Where clients come in: bind the sockets, accept, admit, take the PROXY header and the TLS
//! handshake under one deadline, and hand the stream to a session.

pub mod accept;
pub mod admission;
pub mod bind_sockets;
pub mod context;
pub mod dual_stack;
pub mod handshake;
pub mod proxy_protocol;
