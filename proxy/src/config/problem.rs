//! What is wrong with a configuration, in the words of somebody who has to repair it.

use std::fmt;

/// One thing that is wrong: where, what, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The field, as in `upstreams[1].tls.caFile`; empty when the whole file is meant.
    pub path: String,
    /// What is wrong, without the value of any secret.
    pub cause: String,
    /// What to do about it.
    pub remedy: String,
}

impl Problem {
    /// A problem at `path`.
    pub fn new(path: impl Into<String>, cause: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { path: path.into(), cause: cause.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        write!(f, "{}; {}", self.cause, self.remedy)
    }
}

/// Everything that is wrong with one configuration, in the order of the file; never empty.
///
/// Nothing was changed by the attempt that returned it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, problem) in self.0.iter().enumerate() {
            if position > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

/// Collects problems of later checks, leaving out those that merely follow from an earlier one.
///
/// A field that could not be read was replaced by its default, so whatever a rule says about
/// that field, its parents or its children would be about a value that nobody wrote.
#[derive(Debug, Default)]
pub(crate) struct Report {
    unreadable: Vec<String>,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
}

impl Report {
    /// A report that stays silent about the fields in `unreadable`.
    pub(crate) fn new(unreadable: Vec<String>) -> Self {
        Self { unreadable, problems: Vec::new(), warnings: Vec::new() }
    }

    /// Reports `path`, unless it or one of the fields in `because` could not be read.
    pub(crate) fn problem(
        &mut self,
        path: impl Into<String>,
        because: &[&str],
        cause: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let path = path.into();
        if !self.concerns_unreadable(&path) && !because.iter().any(|field| self.concerns_unreadable(field)) {
            self.problems.push(Problem::new(path, cause, remedy));
        }
    }

    /// Something that works but is probably not meant.
    pub(crate) fn warning(
        &mut self,
        path: impl Into<String>,
        because: &[&str],
        cause: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let path = path.into();
        if !self.concerns_unreadable(&path) && !because.iter().any(|field| self.concerns_unreadable(field)) {
            self.warnings.push(Problem::new(path, cause, remedy));
        }
    }

    /// The problems, then the warnings.
    pub(crate) fn finish(self) -> (Vec<Problem>, Vec<Problem>) {
        (self.problems, self.warnings)
    }

    fn concerns_unreadable(&self, path: &str) -> bool {
        self.unreadable.iter().any(|unreadable| is_within(path, unreadable) || is_within(unreadable, path))
    }
}

/// Whether `path` is `parent` or a field below it.
fn is_within(path: &str, parent: &str) -> bool {
    path.strip_prefix(parent)
        .is_some_and(|rest| rest.is_empty() || parent.is_empty() || rest.starts_with('.') || rest.starts_with('['))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_reads_path_cause_remedy() {
        let problem = Problem::new("upstreams[1].tls.caFile", "no such file", "write the path of a PEM file");
        assert_eq!(problem.to_string(), "upstreams[1].tls.caFile: no such file; write the path of a PEM file");
    }

    #[test]
    fn what_follows_from_an_unreadable_field_is_not_reported() {
        let mut report = Report::new(vec!["listeners[1].address".into()]);
        report.problem("listeners[1]", &[], "neither", "");
        report.problem("listeners[1].address", &[], "bad", "");
        report.problem("admin.address", &["listeners[1].address"], "same", "");
        report.problem("listeners[10].address", &[], "kept", "");
        report.problem("listeners[1].addresses", &[], "kept", "");
        let (problems, _) = report.finish();
        assert_eq!(
            problems.iter().map(|p| p.path.as_str()).collect::<Vec<_>>(),
            ["listeners[10].address", "listeners[1].addresses"]
        );
    }
}
