//! The configuration, as pods read it. They take a new one over while they run.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;

use crate::reconcile::validated::{CONFIG_FILE, ValidatedBindProxy};

/// The ConfigMap NAME-config. It is not immutable, because pods follow it.
pub(super) fn config_map(proxy: &ValidatedBindProxy) -> ConfigMap {
    ConfigMap {
        metadata: proxy.identity.metadata(proxy.identity.config_map()),
        data: Some(BTreeMap::from([(CONFIG_FILE.to_owned(), proxy.configuration.text.clone())])),
        ..ConfigMap::default()
    }
}

#[cfg(test)]
mod tests {
    use super::config_map;
    use crate::reconcile::build::fixture::{json_of, minimal};

    #[test]
    fn it_holds_the_text_octet_for_octet_and_nothing_else() {
        let proxy = minimal();
        let map = json_of(&config_map(&proxy));
        assert_eq!(map["metadata"]["name"], "corp-config");
        assert_eq!(map["data"], serde_json::json!({ "bindproxy.yaml": proxy.configuration.text }));
    }
}
