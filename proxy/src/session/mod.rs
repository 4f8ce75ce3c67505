//! One client: the driver. Requests are taken as they come ([`requests`]), answers as the
//! directory sends them ([`responses`]), both inside one pass over the two sockets ([`pass`]).
//! What needs waiting is a [`Step`] with a file of its own: a bind ([`bind_plan`], [`exchange`],
//! [`ask`], [`sasl`]), StartTLS ([`start_tls`]), an upstream connection ([`attach`]), the raw
//! stream after SASL ([`splice`]), the end ([`close`]).

pub mod ask;
pub mod attach;
pub mod bind_plan;
pub mod close;
pub mod exchange;
pub mod outstanding;
pub mod pass;
pub mod requests;
pub mod responses;
pub mod sasl;
pub mod splice;
pub mod start_tls;
pub mod state;
pub mod table;

use std::future::poll_fn;
use std::net::IpAddr;
use std::rc::Rc;

use self::bind_plan::BindPlan;
use self::state::{Identity, Operations};
use self::table::{Command, SessionHandle};
use crate::bind::Source;
use crate::core::Core;
use crate::listener::context::ListenerContext;
use crate::metrics::CloseReason;
use crate::transport::Transport;
use crate::upstream::connection::UpstreamConnection;

/// One client's session. Small while idle: it owns no buffer then, and the futures of its steps
/// exist only while they run.
pub struct Session {
    core: Rc<Core>,
    listener: std::sync::Arc<ListenerContext>,
    handle: Rc<SessionHandle>,
    source: Source,
    client: Transport,
    /// Octets from the client that were not taken yet.
    unread: Vec<u8>,
    /// Octets for the client that its socket did not take yet. While there are any, nothing more
    /// is read from the directory: a slow reader holds back its own answers.
    backlog: Vec<u8>,
    /// A TLS stream may hold octets that it has taken but not sent.
    unflushed: bool,
    identity: Identity,
    operations: Operations,
    attached: Option<UpstreamConnection>,
    /// A SASL exchange is under way and pinned to the attached connection (RFC 4513 section 5.2).
    sasl_in_progress: bool,
}

/// What a pass over the sockets cannot do without waiting.
#[derive(Debug)]
pub enum Step {
    /// The client has gone or said unbind.
    Closed(CloseReason),
    /// What the client sent is not LDAP, or not a request.
    Malformed(String),
    /// The request at the start of `unread` is a bind.
    Bind(BindPlan),
    /// The request at the start of `unread` is StartTLS.
    StartTls,
    /// The request at the start of `unread` needs an upstream connection.
    Attach,
    /// The upstream connection is lost, and why.
    UpstreamLost(String),
    /// Somebody asked something of the session.
    Commanded(Command),
}

/// Whether the session goes on.
#[derive(Debug)]
pub enum Flow {
    /// It does.
    Continue,
    /// It ends, for this reason.
    End(CloseReason),
    /// It ends with a notice of disconnection.
    Dismiss(CloseReason, u32, &'static str),
}

impl Session {
    /// A session with a client that has completed its handshake.
    #[must_use]
    pub fn new(
        core: Rc<Core>,
        listener: std::sync::Arc<ListenerContext>,
        client: Transport,
        address: Option<IpAddr>,
    ) -> Box<Self> {
        let handle = core.sessions.enter(core.now());
        Box::new(Self {
            core,
            listener,
            handle,
            source: address.map_or_else(Source::local, Source::from),
            client,
            unread: Vec::new(),
            backlog: Vec::new(),
            unflushed: false,
            identity: Identity::Anonymous,
            operations: Operations::default(),
            attached: None,
            sasl_in_progress: false,
        })
    }

    /// Serves the client until it goes.
    pub async fn run(mut self: Box<Self>) {
        let (reason, notice) = loop {
            let step = poll_fn(|cx| self.poll_pass(cx)).await;
            self.handle.work();
            // The future of a step is large and lives for a moment: boxed, it costs the idle
            // session nothing.
            match Box::pin(self.perform(step)).await {
                Flow::Continue => {}
                Flow::End(reason) => break (reason, None),
                Flow::Dismiss(reason, code, text) => break (reason, Some((code, text))),
            }
        };
        Box::pin(self.close(reason, notice)).await;
    }

    async fn perform(&mut self, step: Step) -> Flow {
        match step {
            Step::Closed(reason) => Flow::End(reason),
            Step::Malformed(detail) => self.refuse_malformed(&detail),
            Step::Bind(plan) => self.exchange_bind(plan).await,
            Step::StartTls => self.start_tls().await,
            Step::Attach => self.attach_for_request().await,
            Step::UpstreamLost(detail) => self.lose_upstream(&detail),
            Step::Commanded(command) => self.obey(command),
        }
    }
}
