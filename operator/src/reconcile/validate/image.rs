//! What runs: the operator's default, changed by what the spec names.

use crate::crd::Image;
use crate::reconcile::validated::PodImage;
use crate::settings::{Defaults, ImageReference};

/// What is absent in the spec comes from the default; a repository or tag of its own replaces a default digest.
pub(super) fn image(wish: Option<&Image>, defaults: &Defaults) -> PodImage {
    let wish = wish.cloned().unwrap_or_default();
    let Image { repository, tag, digest, pull_policy, pull_secrets } = wish;
    let ImageReference { repository: default_repository, suffix: default_suffix } = &defaults.image;
    let own_repository = repository.is_some();
    let repository = repository.unwrap_or_else(|| default_repository.clone());
    let suffix = match (digest, tag) {
        (Some(digest), _) => format!("@{digest}"),
        (None, Some(tag)) => format!(":{tag}"),
        // A digest names one image of one repository; in another one it would name nothing.
        (None, None) if own_repository && default_suffix.starts_with('@') => {
            format!(":{}", env!("CARGO_PKG_VERSION"))
        }
        (None, None) => default_suffix.clone(),
    };
    PodImage {
        reference: format!("{repository}{suffix}"),
        pull_policy: pull_policy.or(defaults.pull_policy),
        pull_secrets: pull_secrets.into_iter().map(|secret| secret.name).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(default: &str, wish: Image, expected: &str) {
        let defaults = Defaults { image: ImageReference::parse(default), ..Defaults::for_test() };
        assert_eq!(image(Some(&wish), &defaults).reference, expected);
    }

    #[test]
    fn what_is_absent_comes_from_the_default() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        let with = |repository: Option<&str>, tag: Option<&str>, digest: Option<&str>| Image {
            repository: repository.map(str::to_owned),
            tag: tag.map(str::to_owned),
            digest: digest.map(str::to_owned),
            ..Image::default()
        };
        let default = "registry.example:5000/team/bindproxy:1.2.3";
        check(default, with(None, None, None), default);
        check(default, with(None, Some("2.0.0"), None), "registry.example:5000/team/bindproxy:2.0.0");
        check(default, with(Some("other.example/b"), None, None), "other.example/b:1.2.3");
        check(default, with(None, None, Some(&digest)), &format!("registry.example:5000/team/bindproxy@{digest}"));
        let pinned = format!("registry.example:5000/bindproxy@{digest}");
        check(&pinned, with(None, None, None), &pinned);
        check(&pinned, with(Some("o/b"), None, None), &format!("o/b:{}", env!("CARGO_PKG_VERSION")));
        check("localhost/bindproxy", with(None, None, None), "localhost/bindproxy");
    }
}
