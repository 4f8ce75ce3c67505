//! The ports of the Service, and those that pods open for them.

use crate::crd::BindProxySpec;
use crate::reconcile::outcome::{Refusal, RefusalReason};
use crate::reconcile::validated::{ADMIN_PORT, ListenerPort};

/// Processes without privileges may not open ports below this everywhere.
const FIRST_UNPRIVILEGED: i32 = 1024;
/// Added to a privileged port that has no usual unprivileged neighbour.
const SHIFT: i32 = 10_000;

/// The port that a pod opens for `service`.
fn container_port(service: i32) -> i32 {
    match service {
        389 => 3389,
        636 => 3636,
        low if low < FIRST_UNPRIVILEGED => low + SHIFT,
        other => other,
    }
}

/// The ports of all listeners.
pub(super) fn ports(spec: &BindProxySpec) -> Result<Vec<ListenerPort>, Refusal> {
    let mut ports: Vec<ListenerPort> = Vec::with_capacity(spec.listeners.len());
    for listener in &spec.listeners {
        let container = container_port(listener.port);
        let taken_by = ports
            .iter()
            .find(|other| other.container == container)
            .map(|other| format!("listener {} (port {})", other.name, other.service))
            .or_else(|| (container == ADMIN_PORT).then(|| "health and metrics".to_owned()))
            .or_else(|| (container == spec.cluster.port).then(|| "cluster.port".to_owned()));
        if let Some(other) = taken_by {
            return Err(Refusal {
                reason: RefusalReason::InvalidSpec,
                message: format!(
                    "listeners[{}].port {} needs port {container} in the pod, which {other} has; choose another port",
                    listener.name, listener.port
                ),
            });
        }
        ports.push(ListenerPort { name: listener.name.clone(), service: listener.port, container });
    }
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn privileged_ports_are_moved() {
        assert_eq!([389, 636, 390, 1024, 3389].map(container_port), [3389, 3636, 10_390, 1024, 3389]);
    }
}
