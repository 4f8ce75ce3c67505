//! temp
use crate::crd::*; use crate::identity::Identity; use super::{validated::ValidatedBindProxy, outcome::Refusal, observation::Observation};
/// t
pub fn status(previous: &BindProxyStatus, _i: &Identity, _s: &BindProxySpec, _v: Result<&ValidatedBindProxy, &Refusal>, _o: &Observation, _n: k8s_openapi::apimachinery::pkg::apis::meta::v1::Time) -> BindProxyStatus { previous.clone() }
