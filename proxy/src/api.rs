#![allow(missing_docs)]
use crate::core::Shared;
use crate::settings::Settings;
use arc_swap::ArcSwap;
use std::net::SocketAddr;
use std::sync::Arc;
pub struct Api {}
impl Api {
    pub fn new(_s: Arc<Shared>, _t: Arc<ArcSwap<Settings>>, _a: Vec<(String, SocketAddr)>) -> Self {
        Self {}
    }
}
