//! The process, and its cluster, at a glance.

use super::{age, facts, safe, table, yes};
use crate::admin::api::StatusReport;
use crate::admin::cluster::{ClusterReport, MemberStanding, MemberState};

fn share(part: u64, whole: u64) -> String {
    // One digit after the point, in whole numbers: 12.3 %.
    let per_mille = part.saturating_mul(1000).checked_div(whole).unwrap_or(0);
    format!("{}.{} %", per_mille / 10, per_mille % 10)
}

pub(in crate::admin) fn status(report: &StatusReport) -> String {
    let condition = match (report.draining, report.ready) {
        (true, _) => "draining",
        (false, true) => "ready",
        (false, false) => "starting",
    };
    let binds = &report.binds;
    let full = share(report.cache.entries, report.cache.capacity);
    let mut text = facts(&[
        ("state", format!("{condition}, up {}", age(report.uptime_seconds))),
        ("version", safe(&report.version)),
        ("configuration", safe(&report.config_hash)),
        (
            "cache",
            format!(
                "{} of {} entries ({full}), {} names",
                report.cache.entries, report.cache.capacity, report.cache.names
            ),
        ),
        (
            "binds",
            format!(
                "{} forwarded ({} refused with 49), {} from the cache, {} coalesced",
                binds.upstream, binds.upstream_invalid_credentials, binds.cache_rejected, binds.coalesced
            ),
        ),
        (
            "",
            format!(
                "{} anonymous, {} SASL, {} unavailable, {} refused by a rule",
                binds.anonymous, binds.sasl, binds.unavailable, binds.local_refused
            ),
        ),
        ("prevented", format!("{} failed binds that the directory did not count", binds.lockout_attempts_prevented)),
    ]);
    let listeners: Vec<_> = report
        .listeners
        .iter()
        .map(|listener| [safe(&listener.name), safe(&listener.address), listener.active.to_string()])
        .collect();
    let upstreams: Vec<_> = report
        .upstreams
        .iter()
        .map(|upstream| {
            [
                safe(&upstream.name),
                safe(&upstream.address),
                yes(upstream.up),
                upstream.idle.to_string(),
                upstream.busy.to_string(),
                upstream.last_error.as_deref().map_or_else(|| "-".to_owned(), safe),
            ]
        })
        .collect();
    text.push('\n');
    text.push_str(&table(["LISTENER", "ADDRESS", ">CONNECTIONS"], &listeners));
    text.push('\n');
    text.push_str(&table(["UPSTREAM", "ADDRESS", "UP", ">IDLE", ">BUSY", "LAST ERROR"], &upstreams));
    if let Some(report) = &report.cluster {
        text.push('\n');
        text.push_str(&cluster(report));
    }
    text
}

fn cluster(report: &ClusterReport) -> String {
    let joined = if report.joined { "joined" } else { "still joining" };
    let mut text =
        facts(&[("cluster", safe(&report.name)), ("this member", format!("{}, {joined}", safe(&report.node)))]);
    if report.members.is_empty() {
        text.push_str("There is no other member.\n");
        return text;
    }
    let state = |state| match state {
        MemberState::Alive => "alive",
        MemberState::Suspect => "suspect",
        MemberState::Left => "left",
        MemberState::Unknown => "?",
    };
    let standing = |standing| match standing {
        MemberStanding::Joining => "joining",
        MemberStanding::Joined => "joined",
        MemberStanding::Leaving => "leaving",
        MemberStanding::Unknown => "?",
    };
    let rows: Vec<_> = report
        .members
        .iter()
        .map(|member| {
            [
                safe(&member.name),
                state(member.state).to_owned(),
                standing(member.standing).to_owned(),
                member.entries.to_string(),
            ]
        })
        .collect();
    text.push_str(&table(["MEMBER", "STATE", "STANDING", ">ENTRIES"], &rows));
    text
}
