//! Rules about rules: which answer of a directory means what.

use crate::config::problem::Report;
use crate::config::{VerdictAction, VerdictRule, Verdicts};

/// Success (RFC 4511 section 4.1.9).
const SUCCESS: u32 = 0;
/// A SASL bind goes on (RFC 4511 section 4.1.9); no verdict about a password.
const SASL_BIND_IN_PROGRESS: u32 = 14;

/// Checks `cache.verdicts.rules`.
pub(super) fn check(verdicts: &Verdicts, report: &mut Report) {
    for (index, rule) in verdicts.rules.iter().enumerate() {
        let path = format!("cache.verdicts.rules[{index}]");
        for (name, text) in [("diagnostic", &rule.diagnostic), ("diagnosticContains", &rule.diagnostic_contains)] {
            if name == "diagnosticContains" && text.as_deref() == Some("") {
                report.problem(
                    format!("{path}.{name}"),
                    &[],
                    "every text contains the empty text",
                    "write a part of the diagnostic message, or remove the field",
                );
            }
        }
        let remembers = matches!(rule.action, VerdictAction::Cache | VerdictAction::CacheShort);
        if remembers && matches!(rule.code, SUCCESS | SASL_BIND_IN_PROGRESS) {
            report.problem(
                format!("{path}.code"),
                &[&format!("{path}.action")],
                format!("result code {} is no failure that could be remembered", rule.code),
                "write the code of a failure, as in 49 (invalidCredentials)",
            );
        }
        let earlier = verdicts.rules.get(..index).unwrap_or_default();
        if let Some(covering) = earlier.iter().position(|earlier| covers(earlier, rule)) {
            report.warning(
                &path,
                &[],
                format!("cache.verdicts.rules[{covering}] matches first whenever this one would"),
                "move the narrower rule up, or remove this one",
            );
        }
    }
}

/// Whether `earlier` matches every answer that `later` matches.
fn covers(earlier: &VerdictRule, later: &VerdictRule) -> bool {
    let exact = match (&earlier.diagnostic, &later.diagnostic) {
        (None, _) => true,
        (Some(earlier), Some(later)) => earlier == later,
        (Some(_), None) => false,
    };
    let part = match &earlier.diagnostic_contains {
        None => true,
        Some(part) => {
            [&later.diagnostic, &later.diagnostic_contains].into_iter().flatten().any(|text| text.contains(part))
        }
    };
    earlier.code == later.code && exact && part
}
