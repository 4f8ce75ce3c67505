//! From a spec and what it refers to, to the single input of the build step. Pure: no client, no clock.
//!
//! What one object can say wrong on its own was refused by the API server (the rules in [`crate::crd`]);
//! this step finds what takes other objects, or the proxy's own rules, to find.

mod configuration;
mod conflicts;
mod image;
mod mounts;
mod ports;

pub use mounts::config_maps;

use crate::crd::BindProxy;
use crate::identity::Identity;
use crate::reconcile::dereference::References;
use crate::reconcile::outcome::{Refusal, RefusalReason};
use crate::reconcile::validated::{CertificateRequest, MonitoringKinds, ValidatedBindProxy};
use crate::settings::Defaults;

/// Finds out whether a BindProxy can be built.
///
/// # Errors
/// The first thing that is wrong with it, naming the field and what to do.
pub fn validate(
    bind_proxy: &BindProxy,
    identity: &Identity,
    references: &References,
    defaults: &Defaults,
) -> Result<ValidatedBindProxy, Refusal> {
    let spec = &bind_proxy.spec;
    conflicts::check(identity, references)?;
    mounts::check_config_maps(spec, references)?;
    let ports = ports::ports(spec)?;
    let makes_cluster_secret = spec.uses_own_cluster_secret();
    let certificate = certificate(bind_proxy, identity, references)?;
    let monitoring = MonitoringKinds {
        pod_monitor: references.kinds.pod_monitor.is_some(),
        service_monitor: references.kinds.service_monitor.is_some(),
        prometheus_rule: references.kinds.prometheus_rule.is_some(),
    };
    let mounts = mounts::mounts(spec, identity);
    let configuration = configuration::render(spec, identity, &ports, &defaults.cluster_domain)?;
    Ok(ValidatedBindProxy {
        identity: identity.clone(),
        spec: spec.clone(),
        image: image::image(spec.image.as_ref(), defaults),
        ports,
        mounts,
        configuration,
        makes_cluster_secret,
        certificate,
        monitoring,
        cluster_domain: defaults.cluster_domain.clone(),
        operator_namespace: defaults.operator_namespace.clone(),
        remarks: remarks(bind_proxy, monitoring),
    })
}

fn certificate(
    bind_proxy: &BindProxy,
    identity: &Identity,
    references: &References,
) -> Result<Option<CertificateRequest>, Refusal> {
    let Some(wish) = bind_proxy.spec.server_tls.as_ref().and_then(|tls| tls.cert_manager.as_ref()) else {
        return Ok(None);
    };
    if references.kinds.certificate.is_none() {
        return Err(Refusal {
            reason: RefusalReason::CertManagerMissing,
            message: "serverTLS.certManager asks for a certificate of cert-manager, and the API server has no \
                      certificates.cert-manager.io; install cert-manager, or name a Secret in serverTLS.secretRef"
                .to_owned(),
        });
    }
    let Identity { namespace, .. } = identity;
    let (main, peers) = (identity.main(), identity.peers());
    let mut dns_names = vec![
        main.clone(),
        format!("{main}.{namespace}"),
        format!("{main}.{namespace}.svc"),
        format!("*.{peers}.{namespace}.svc"),
    ];
    for name in &wish.dns_names {
        if !dns_names.contains(name) {
            dns_names.push(name.clone());
        }
    }
    Ok(Some(CertificateRequest { issuer: wish.issuer_ref.clone(), dns_names }))
}

/// What was asked for and cannot be made here; the rest works without it.
fn remarks(bind_proxy: &BindProxy, kinds: MonitoringKinds) -> Vec<String> {
    let monitoring = &bind_proxy.spec.monitoring;
    let MonitoringKinds { pod_monitor, service_monitor, prometheus_rule } = kinds;
    [
        ("podMonitor", "PodMonitor", monitoring.pod_monitor.enabled && !pod_monitor),
        ("serviceMonitor", "ServiceMonitor", monitoring.service_monitor.enabled && !service_monitor),
        ("prometheusRule", "PrometheusRule", monitoring.prometheus_rule.enabled && !prometheus_rule),
    ]
    .into_iter()
    .filter(|(_, _, missing)| *missing)
    .map(|(field, kind, _)| format!("monitoring.{field} was left out, because the API server has no {kind}"))
    .collect()
}
