//! The closed lists of condition types and reasons.

/// The conditions of a BindProxy, in the order in which they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConditionType {
    /// The summary.
    Ready,
    /// Whether the spec is usable.
    Accepted,
    /// Whether pods serve.
    Available,
    /// Whether a rollout or a scaling is under way.
    Progressing,
    /// Whether every pod runs with the configuration.
    ConfigApplied,
    /// Whether the pods reach the directory servers.
    UpstreamsHealthy,
    /// Whether the pods see each other.
    PeersConnected,
}

impl ConditionType {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Ready,
        Self::Accepted,
        Self::Available,
        Self::Progressing,
        Self::ConfigApplied,
        Self::UpstreamsHealthy,
        Self::PeersConnected,
    ];

    /// As the API writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Accepted => "Accepted",
            Self::Available => "Available",
            Self::Progressing => "Progressing",
            Self::ConfigApplied => "ConfigApplied",
            Self::UpstreamsHealthy => "UpstreamsHealthy",
            Self::PeersConnected => "PeersConnected",
        }
    }
}

/// Why a spec is not usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalReason {
    /// The spec contradicts itself, or the proxy would refuse the configuration.
    InvalidSpec,
    /// An object that it names is not there, or has not the key.
    ReferenceNotFound,
    /// An object of that name belongs to somebody else.
    ConflictingOwner,
    /// It asks for cert-manager, which is not installed.
    CertManagerMissing,
    /// The operator may not read or write what it needs.
    PermissionDenied,
}

impl RefusalReason {
    /// As the API writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidSpec => "InvalidSpec",
            Self::ReferenceNotFound => "ReferenceNotFound",
            Self::ConflictingOwner => "ConflictingOwner",
            Self::CertManagerMissing => "CertManagerMissing",
            Self::PermissionDenied => "PermissionDenied",
        }
    }
}

/// Why a BindProxy was not accepted. Nothing of it was changed; what ran keeps running.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", reason.as_str())]
pub struct Refusal {
    /// From the closed list.
    pub reason: RefusalReason,
    /// What is wrong and what to do, naming the field.
    pub message: String,
}

/// The step in which a look at a BindProxy failed. It is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorReason {
    /// Finding out which optional kinds there are.
    Discover,
    /// Fetching what the spec refers to.
    Dereference,
    /// Building the objects.
    Build,
    /// Writing the objects.
    Apply,
    /// Writing the status.
    Status,
    /// Any of them, since the whole took too long.
    Timeout,
}

impl ErrorReason {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Discover, Self::Dereference, Self::Build, Self::Apply, Self::Status, Self::Timeout];

    /// As a label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Discover => "discover",
            Self::Dereference => "dereference",
            Self::Build => "build",
            Self::Apply => "apply",
            Self::Status => "status",
            Self::Timeout => "timeout",
        }
    }
}
