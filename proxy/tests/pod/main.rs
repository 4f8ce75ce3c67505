//! What a pod needs: a process that tells how it is, that is told who it is, that takes over what the kubelet
//! swaps, and that goes in order.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking, in its helpers too")]
#![allow(clippy::disallowed_methods, reason = "limits are measured in real time, over real connections")]

mod descriptors;
mod drain;
mod mounts;
mod overrides;
mod pod;
mod probe;
mod statusz;
mod termination_log;
