//! From a file to a configuration that can run, or to the list of everything that is wrong with it.

use std::cell::LazyCell;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::material::{self, Material, Surroundings};
use super::overrides::Overrides;
use super::problem::{Problem, Problems, Report};
use super::watch::Fingerprint;
use super::{Config, ConfigHash, named_files, rules, shape, tree};

/// A configuration that was checked, with everything that it names.
pub struct Loaded {
    /// The configuration, with absolute paths.
    pub config: Config,
    /// The contents of the files that it names.
    pub material: Material,
    /// The name of this configuration, over the paths as they are written in the file.
    pub hash: ConfigHash,
    /// What the command line says in place of the file; `config` has it already.
    pub overrides: Overrides,
    /// The files as they were before any was read; `None` for a text that lies in no file.
    pub fingerprint: Option<Fingerprint>,
    /// What works but is probably not meant.
    pub warnings: Vec<Problem>,
}

impl fmt::Debug for Loaded {
    /// Names the configuration; `material` holds keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded").field("hash", &self.hash).finish_non_exhaustive()
    }
}

/// Reads and checks the file at `path` and every file that it names. Relative paths in it are
/// relative to its folder.
///
/// # Errors
/// Every problem of the file, in its order. Nothing was changed.
pub fn load(path: &Path) -> Result<Loaded, Problems> {
    load_with(path, &Overrides::default())
}

/// As [`load`], with what the command line says in place of the file.
///
/// # Errors
/// Every problem of the file, in its order, then those of `overrides`.
pub fn load_with(path: &Path, overrides: &Overrides) -> Result<Loaded, Problems> {
    let fingerprint = Fingerprint::of(&watched_files(path));
    let text = read_text(path).map_err(|problem| Problems(vec![problem]))?;
    let mut loaded = load_in(&text, folder(path), overrides, &Surroundings::present())?;
    loaded.fingerprint = Some(fingerprint);
    loaded.material.files.insert(0, std::path::absolute(path).unwrap_or_else(|_| path.to_owned()));
    Ok(loaded)
}

/// As [`load`], for a text whose relative paths are relative to `base`.
///
/// # Errors
/// Every problem of the text, in its order.
pub fn load_text(text: &str, base: &Path) -> Result<Loaded, Problems> {
    load_in(text, base, &Overrides::default(), &Surroundings::present())
}

/// A configuration whose fields were checked, and not the files that it names.
#[derive(Clone, Debug)]
pub struct Reviewed {
    /// The configuration, with paths as they are written.
    pub config: Config,
    /// Its name, equal to that of the process which runs with it.
    pub hash: ConfigHash,
    /// What works but is probably not meant.
    pub warnings: Vec<Problem>,
}

/// Checks a text as [`load_text`] does, but opens no file: for whoever writes a configuration that
/// runs on another machine.
///
/// # Errors
/// Every problem of the text, in its order.
pub fn review(text: &str) -> Result<Reviewed, Problems> {
    let read = Read::of(text)?;
    let config = named_files::resolved(&read.written, Path::new("/"));
    let ((), hash, written, warnings) = read.judge(|report| rules::check(&config, report))?;
    Ok(Reviewed { config: written, hash, warnings })
}

impl Surroundings {
    fn present() -> Self {
        Self { now_unix: now_unix(), system_roots: LazyCell::new(crate::tls::system_roots) }
    }
}

fn load_in(text: &str, base: &Path, overrides: &Overrides, surroundings: &Surroundings) -> Result<Loaded, Problems> {
    let read = Read::of(text)?;
    let mut config = named_files::resolved(&read.written, base);
    let (material, hash, _, warnings) = read.judge(|report| {
        overrides.apply(&mut config, report);
        rules::check(&config, report);
        material::load(&config, surroundings, report)
    })?;
    Ok(Loaded { hash, config, material, overrides: overrides.clone(), fingerprint: None, warnings })
}

/// A text that has the shape of a configuration, as far as it could be read.
struct Read {
    written: Config,
    problems: Vec<Problem>,
    unreadable: Vec<String>,
    order: BTreeMap<String, usize>,
}

impl Read {
    fn of(text: &str) -> Result<Self, Problems> {
        let root = tree::parse(text).map_err(|problem| Problems(vec![problem]))?;
        let shape::Shaped { value, mut problems, unreadable } = shape::fit(&root);
        let written = serde_json::from_value(value).map_err(|error| {
            // The shape check knows every rule of the types; should it miss one, serde's words are shown.
            problems.push(Problem::new("", error.to_string(), "correct that field"));
            Problems(std::mem::take(&mut problems))
        })?;
        Ok(Self { written, problems, unreadable, order: root.order() })
    }

    /// What `check` made, unless it or the shape had a problem.
    fn judge<T>(
        mut self,
        check: impl FnOnce(&mut Report) -> T,
    ) -> Result<(T, ConfigHash, Config, Vec<Problem>), Problems> {
        let mut report = Report::new(self.unreadable);
        let made = check(&mut report);
        let (found, mut warnings) = report.finish();
        self.problems.extend(found);
        in_order(&mut self.problems, &self.order);
        // Two equal lines of a field that is given twice help nobody.
        self.problems.dedup();
        in_order(&mut warnings, &self.order);
        if self.problems.is_empty() {
            Ok((made, ConfigHash::of(&self.written), self.written, warnings))
        } else {
            Err(Problems(self.problems))
        }
    }
}

/// The files to watch while `path` does not load: the file itself and, as far as it can be read,
/// the files that it names. So a reload that was refused for a missing file is tried again when
/// the file appears.
#[must_use]
pub fn watched_files(path: &Path) -> Vec<PathBuf> {
    let mut files = vec![std::path::absolute(path).unwrap_or_else(|_| path.to_owned())];
    if let Ok(root) = read_text(path).and_then(|text| tree::parse(&text))
        && let Ok(written) = serde_json::from_value(shape::fit(&root).value)
    {
        files.extend(named_files::contents(&named_files::resolved(&written, folder(path))));
    }
    files
}

/// The JSON schema of the file, for editors.
#[must_use]
pub fn schema_text() -> String {
    // Printing a value that is already JSON cannot fail.
    let mut text = serde_json::to_string_pretty(shape::schema()).unwrap_or_default();
    text.push('\n');
    text
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn read_text(path: &Path) -> Result<String, Problem> {
    let contents = named_files::read_bounded(path).map_err(|error| {
        Problem::new(
            "",
            format!("{} cannot be read: {error}", path.display()),
            "write the path of the configuration file after --config",
        )
    })?;
    String::from_utf8(contents).map_err(|error| {
        Problem::new(
            "",
            format!("{} is not UTF-8 from byte {} on", path.display(), error.utf8_error().valid_up_to()),
            "save it as UTF-8",
        )
    })
}

/// Sorts by where in the file the field, or the part of it that exists, is written.
fn in_order(problems: &mut [Problem], order: &BTreeMap<String, usize>) {
    problems.sort_by_key(|problem| {
        let mut path = problem.path.as_str();
        loop {
            if let Some(position) = order.get(path) {
                return *position;
            }
            match path.rfind(['.', '[']) {
                Some(end) => path = path.get(..end).unwrap_or_default(),
                None => return usize::MAX,
            }
        }
    });
}

/// Certificates expire by the wall clock.
#[expect(clippy::disallowed_methods, reason = "expiry only warns; no decision of the proxy depends on it")]
fn now_unix() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).ok().and_then(|age| i64::try_from(age.as_secs()).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    /// 2030-01-01T00:00:00Z, when the certificate of these tests ends.
    const END: i64 = 1_893_456_000;
    const DAY: i64 = 86_400;

    const TEXT: &str = "listeners: [{name: a, address: \"127.0.0.1:3636\", tls: LDAPS}]\n\
                        upstreams: [{name: b, host: localhost}]\n\
                        serverTLS: {certificateFile: server.crt, keyFile: server.key}\n";

    fn warnings_at(now_unix: i64) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2025, 1, 1);
        params.not_after = rcgen::date_time_ymd(2030, 1, 1);
        let key = KeyPair::generate().unwrap();
        std::fs::write(folder.path().join("server.crt"), params.self_signed(&key).unwrap().pem()).unwrap();
        std::fs::write(folder.path().join("server.key"), key.serialize_pem()).unwrap();
        let surroundings = Surroundings { now_unix, system_roots: LazyCell::new(crate::tls::system_roots) };
        let loaded = load_in(TEXT, folder.path(), &Overrides::default(), &surroundings).unwrap();
        assert_eq!(
            loaded.material.certificates,
            [super::super::CertificateExpiry { role: "server".into(), not_after_unix: END }]
        );
        loaded.warnings.iter().map(Problem::to_string).collect()
    }

    #[test]
    fn the_end_of_a_certificate_is_announced_two_weeks_ahead() {
        let renew = "; renew it; the file is read again when it changes";
        let expected = |what: &str| {
            vec![format!("serverTLS.certificateFile: the certificate of CN=rcgen self signed cert {what}")]
        };
        assert_eq!(warnings_at(END - 15 * DAY), Vec::<String>::new());
        assert_eq!(warnings_at(END - 13 * DAY), expected(&format!("expires at Jan  1 00:00:00 2030 +00:00{renew}")));
        assert_eq!(warnings_at(END + 1), expected(&format!("expired at Jan  1 00:00:00 2030 +00:00{renew}")));
        assert_eq!(
            warnings_at(END - 5 * 366 * DAY),
            expected(
                "is valid only from Jan  1 00:00:00 2025 +00:00 on; check this host's clock, or renew the certificate"
            )
        );
    }
}
