//! The closed sets of label values. A value is never free text, so the number of series is bounded.

/// A metric label whose values are known when the program is built.
macro_rules! closed_label {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $label:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// Every value, in the order of the discriminants.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];
            /// The label of every value, in the same order.
            pub const LABELS: &'static [&'static str] = &[$($label,)+];

            /// The label as it stands in the metrics.
            #[must_use]
            pub const fn label(self) -> &'static str {
                Self::LABELS[self as usize]
            }
        }
    };
}

closed_label! {
    /// How a bind was decided.
    BindDecision {
        /// Forwarded to a directory.
        Upstream = "upstream",
        /// Answered with a remembered failure.
        CacheRejected = "cache_rejected",
        /// Waited for an identical bind in flight and got its answer.
        Coalesced = "coalesced",
        /// Without name and password.
        Anonymous = "anonymous",
        /// Any SASL mechanism; forwarded.
        Sasl = "sasl",
        /// No directory could be asked.
        Unavailable = "unavailable",
        /// Refused by a rule of the proxy: `rejectUnauthenticated`, or a SASL EXTERNAL that is not sound.
        LocalRefusal = "local_refused",
    }
}

closed_label! {
    /// What the client was told about its bind.
    BindResult {
        /// Result code 0 (or 14, a SASL exchange that goes on).
        Success = "success",
        /// Result code 49.
        InvalidCredentials = "invalid_credentials",
        /// Any other result of the directory.
        Other = "other",
        /// A result that the proxy made because something failed (51, 52).
        Error = "error",
    }
}

closed_label! {
    /// Why a client connection ended.
    CloseReason {
        /// The client unbound or closed.
        Client = "client",
        /// `limits.idleTimeoutSeconds`.
        Idle = "idle",
        /// `limits.maxConnectionAgeSeconds`.
        MaxAge = "max_age",
        /// The proxy is shutting down.
        Drain = "drain",
        /// `limits.maxConnections` or `limits.maxConnectionsPerClient`.
        Limit = "limit",
        /// Octets that are no LDAP message, or one that is too long.
        ProtocolError = "protocol_error",
        /// The TLS handshake or a record failed.
        TlsError = "tls_error",
        /// The upstream connection that carried the session's identity died.
        UpstreamLost = "upstream_lost",
        /// A bug in the proxy ended this session only.
        Panic = "panic",
        /// A PROXY header from an address outside `trustedCIDRs`.
        UntrustedProxyHeader = "untrusted_proxy_header",
        /// `limits.handshakeTimeoutSeconds`.
        HandshakeTimeout = "handshake_timeout",
    }
}

closed_label! {
    /// An LDAP operation (RFC 4511 section 4.2 to 4.12).
    Operation {
        /// BindRequest.
        Bind = "bind",
        /// UnbindRequest.
        Unbind = "unbind",
        /// SearchRequest.
        Search = "search",
        /// ModifyRequest.
        Modify = "modify",
        /// AddRequest.
        Add = "add",
        /// DelRequest.
        Delete = "delete",
        /// ModifyDNRequest.
        ModifyDn = "modify_dn",
        /// CompareRequest.
        Compare = "compare",
        /// AbandonRequest.
        Abandon = "abandon",
        /// ExtendedRequest.
        Extended = "extended",
        /// A tag that RFC 4511 does not define.
        Other = "other",
    }
}

impl Operation {
    /// The operation of a request's outer tag octet (RFC 4511 section 4.1.1), class and
    /// constructed bits included: `0x60` is a BindRequest.
    #[must_use]
    pub const fn from_tag(tag: u8) -> Self {
        match tag {
            0x60 => Self::Bind,
            // Some clients set the constructed bit on the empty unbind.
            0x42 | 0x62 => Self::Unbind,
            0x63 => Self::Search,
            0x66 => Self::Modify,
            0x68 => Self::Add,
            0x4a => Self::Delete,
            0x6c => Self::ModifyDn,
            0x6e => Self::Compare,
            0x50 => Self::Abandon,
            0x77 => Self::Extended,
            _ => Self::Other,
        }
    }
}

closed_label! {
    /// What became of a request that was sent to an upstream.
    UpstreamResult {
        /// The operation did what was asked.
        Success = "success",
        /// Result code 49 to a bind.
        InvalidCredentials = "invalid_credentials",
        /// Any other result code.
        Other = "other",
        /// No answer within `requestTimeoutSeconds`.
        Timeout = "timeout",
        /// The connection ended before the answer.
        ConnectionLost = "connection_lost",
    }
}

impl UpstreamResult {
    /// The result that a result code means (RFC 4511 section 4.1.9): besides 0, the two answers to
    /// a compare (5, 6) and a SASL exchange that goes on (14) are no failures.
    #[must_use]
    pub const fn from_code(code: u32) -> Self {
        match code {
            0 | 5 | 6 | 14 => Self::Success,
            49 => Self::InvalidCredentials,
            _ => Self::Other,
        }
    }

    /// The child that counts this result of `operation`. Combinations that mean nothing have no
    /// series of their own, which keeps their number down.
    pub(super) const fn counted(self, operation: Operation) -> Self {
        match (operation, self) {
            (Operation::Bind, result) => result,
            // Neither has a response; what can be said is that it was sent.
            (Operation::Unbind | Operation::Abandon, _) => Self::Success,
            (_, Self::InvalidCredentials) => Self::Other,
            (Operation::Extended, result) => result,
            // Only binds and extended operations have a deadline of ours.
            (_, Self::Timeout) => Self::ConnectionLost,
            (_, result) => result,
        }
    }
}

/// What a client was told about a request; the same values as for a bind.
pub type RequestResult = BindResult;

impl BindResult {
    /// The result that a result code of the directory means, as in [`UpstreamResult::from_code`].
    #[must_use]
    pub const fn from_code(code: u32) -> Self {
        match UpstreamResult::from_code(code) {
            UpstreamResult::Success => Self::Success,
            UpstreamResult::InvalidCredentials => Self::InvalidCredentials,
            UpstreamResult::Other | UpstreamResult::Timeout | UpstreamResult::ConnectionLost => Self::Other,
        }
    }

    /// The child that counts this result of `operation`, as in `UpstreamResult::counted`.
    pub(super) const fn counted(self, operation: Operation) -> Self {
        match (operation, self) {
            (Operation::Bind, result) => result,
            (Operation::Unbind | Operation::Abandon, _) => Self::Success,
            (_, Self::InvalidCredentials) => Self::Other,
            (_, result) => result,
        }
    }
}

closed_label! {
    /// Why no connection to an upstream came about.
    ConnectFailure {
        /// The name did not resolve.
        Dns = "dns",
        /// The host refused.
        Refused = "refused",
        /// No connection within `connectTimeoutSeconds`.
        Timeout = "timeout",
        /// The TLS handshake or the certificate check failed, or StartTLS was refused.
        Tls = "tls",
        /// Anything else: no route, no file descriptor.
        Other = "other",
    }
}

closed_label! {
    /// Why an entry left the cache.
    Removal {
        /// Its life ended.
        Expired = "expired",
        /// Pushed out by `cache.maxEntries` or a quota.
        Capacity = "capacity",
        /// The same password succeeded.
        SuccessSeen = "success_seen",
        /// The name's password was changed, through the proxy or elsewhere.
        PasswordChanged = "password_changed",
        /// An administrator asked for it.
        Flushed = "flushed",
    }
}

closed_label! {
    /// Whether the cache knew the bind.
    Lookup {
        /// Answered from the cache.
        Hit = "hit",
        /// Not known.
        Miss = "miss",
    }
}

closed_label! {
    /// What became of a reload.
    Reload {
        /// The new configuration serves.
        Success = "success",
        /// Refused; the old one keeps serving.
        Error = "error",
    }
}

closed_label! {
    /// Where a cache entry came from.
    Origin {
        /// Learned by this process.
        Local = "local",
        /// Told by another member of the cluster.
        Cluster = "cluster",
    }
}

closed_label! {
    /// How another member of the cluster stands.
    PeerState {
        /// It is heard of.
        Alive = "alive",
        /// It has not been heard of for a while.
        Suspect = "suspect",
        /// It said goodbye.
        Left = "left",
    }
}

closed_label! {
    /// Whether a member had everything when it began to serve.
    Completeness {
        /// It had what the others hold.
        True = "true",
        /// The time for joining passed first.
        False = "false",
    }
}

closed_label! {
    /// Which way something goes between members.
    MessageDirection {
        /// To another member.
        Out = "out",
        /// From another member.
        In = "in",
    }
}

closed_label! {
    /// What members say to each other.
    MessageKind {
        /// Hello, and its refusal.
        Hello = "hello",
        /// What was learned.
        Facts = "facts",
        /// Everything, for one who joins.
        Snapshot = "snapshot",
        /// Comparing what two members hold.
        Sync = "sync",
        /// Leases for attempts.
        Lease = "lease",
        /// Whether everything has been taken in.
        Barrier = "barrier",
        /// The admin API.
        Query = "query",
        /// Signs of life.
        Ping = "ping",
        /// A new standing or new keys.
        Update = "update",
        /// A kind of a later version; skipped.
        Unknown = "unknown",
    }
}

closed_label! {
    /// Why something that came to the cluster port, or a connection, was refused.
    ClusterRejection {
        /// A certificate that does not chain to `cluster.caFile`, or none.
        Auth = "auth",
        /// A certificate of another cluster.
        Identity = "identity",
        /// No protocol in common.
        Version = "version",
        /// Octets that are no message.
        Malformed = "malformed",
        /// Another `cluster.name`.
        Cluster = "cluster",
        /// Facts under a hashing key that this member does not have.
        Key = "key",
        /// Facts from the future.
        Future = "future",
        /// More connections than there is room for.
        Limit = "limit",
        /// No greeting within `limits.handshakeTimeoutSeconds`.
        Timeout = "timeout",
    }
}

closed_label! {
    /// What comparing with another member found.
    SyncResult {
        /// Both hold the same.
        Same = "same",
        /// Something was missing on one side.
        Differed = "differed",
    }
}

closed_label! {
    /// What became of an attempt whose name another member owns.
    LeaseResult {
        /// The owner let it go at once.
        Granted = "granted",
        /// It waited for an identical one first, and was then let go.
        Waited = "waited",
        /// The owner knew the answer.
        Verdict = "verdict",
        /// It went on without the owner, who did not answer in time.
        Unleased = "unleased",
        /// It was answered with busy (51): `coordination: Strict`.
        Busy = "busy",
    }
}

closed_label! {
    /// What a pooled upstream connection does.
    PoolState {
        /// Waiting for the next session.
        Idle = "idle",
        /// Attached to a session.
        Busy = "busy",
    }
}

closed_label! {
    /// Operations as the duration histograms tell them apart: a histogram costs a dozen series, so
    /// it has two.
    TimedOperation {
        /// A bind.
        Bind = "bind",
        /// Any other operation.
        Other = "other",
    }
}

impl From<Operation> for TimedOperation {
    fn from(operation: Operation) -> Self {
        match operation {
            Operation::Bind => Self::Bind,
            Operation::Unbind
            | Operation::Search
            | Operation::Modify
            | Operation::Add
            | Operation::Delete
            | Operation::ModifyDn
            | Operation::Compare
            | Operation::Abandon
            | Operation::Extended
            | Operation::Other => Self::Other,
        }
    }
}

closed_label! {
    /// Who made an answer.
    AnswerPath {
        /// The proxy, from its memory.
        Cache = "cache",
        /// A directory.
        Upstream = "upstream",
    }
}
