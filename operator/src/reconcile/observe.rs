//! temp
use super::observation::Observation;
use crate::identity::Identity;
use crate::owned::Ours;
/// t
pub struct Observer;
impl Observer {
    /// t
    pub fn new() -> Self { Self }
    /// t
    pub async fn observe(&self, _c: &kube::Client, _i: &Identity, _o: &Ours, _n: k8s_openapi::jiff::Timestamp) -> Observation { Observation::default() }
}
