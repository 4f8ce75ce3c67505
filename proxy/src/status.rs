#![allow(missing_docs)]
use crate::clock::{Clock, Tick};
pub struct Status {}
impl Status {
    pub fn new(_w: usize, _c: Clock) -> Self {
        Self {}
    }
    pub fn heartbeat(&self, _id: usize, _now: Tick) {}
    pub fn set_ready(&self, _b: bool) {}
    pub fn set_draining(&self) {}
    pub fn refuse_config(&self, _e: &str) {}
    pub fn accept_config(&self, _h: &str) {}
    pub fn config_loaded_at_unix(&self) -> i64 {
        0
    }
}
