#![allow(missing_docs)]
use std::sync::Arc;
pub struct AdminState {}
impl AdminState {
    pub fn new<A>(
        _s: Arc<crate::core::Shared>,
        _a: Arc<A>,
        _t: Arc<arc_swap::ArcSwapOption<crate::config::AdminToken>>,
    ) -> Self {
        Self {}
    }
}
pub async fn serve(_l: tokio::net::TcpListener, _s: AdminState, shutdown: impl Future<Output = ()>) {
    shutdown.await
}
