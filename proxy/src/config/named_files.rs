//! The files that a configuration names: which fields they are, where they lie, how they are read.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::Config;
use super::tree::{element, field};

/// No certificate bundle is longer; a limit keeps a wrong path (`/dev/zero`) from eating memory.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// What becomes of a named file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Its contents are read, and watched for changes.
    Contents,
    /// It is a unix socket.
    Socket,
}

/// Calls `visit` with field path, purpose and file for every file that `config` names.
pub(crate) fn each(config: &mut Config, mut visit: impl FnMut(&str, Purpose, &mut PathBuf)) {
    for (index, listener) in config.listeners.iter_mut().enumerate() {
        if let Some(socket) = &mut listener.socket {
            visit(&field(&element("listeners", index), "socket"), Purpose::Socket, socket);
        }
    }
    if let Some(tls) = &mut config.server_tls {
        visit("serverTLS.certificateFile", Purpose::Contents, &mut tls.certificate_file);
        visit("serverTLS.keyFile", Purpose::Contents, &mut tls.key_file);
        if let Some(file) = &mut tls.client_ca_file {
            visit("serverTLS.clientCAFile", Purpose::Contents, file);
        }
    }
    for (index, upstream) in config.upstreams.iter_mut().enumerate() {
        let parent = element("upstreams", index);
        if let Some(socket) = &mut upstream.socket {
            visit(&field(&parent, "socket"), Purpose::Socket, socket);
        }
        let tls = &mut upstream.tls;
        for (name, file) in [
            ("caFile", &mut tls.ca_file),
            ("certificateFile", &mut tls.certificate_file),
            ("keyFile", &mut tls.key_file),
        ] {
            if let Some(file) = file {
                visit(&format!("{parent}.tls.{name}"), Purpose::Contents, file);
            }
        }
    }
    for (path, file) in [
        ("cache.keyFile", &mut config.cache.key_file),
        ("cache.previousKeyFile", &mut config.cache.previous_key_file),
        ("admin.tokenFile", &mut config.admin.token_file),
    ] {
        if let Some(file) = file {
            visit(path, Purpose::Contents, file);
        }
    }
    if let Some(cluster) = &mut config.cluster {
        visit("cluster.certificateFile", Purpose::Contents, &mut cluster.certificate_file);
        visit("cluster.keyFile", Purpose::Contents, &mut cluster.key_file);
        visit("cluster.caFile", Purpose::Contents, &mut cluster.ca_file);
    }
}

/// The configuration with every path relative to `base` made absolute. An empty path stays empty.
pub(crate) fn resolved(config: &Config, base: &Path) -> Config {
    // Only a process without a working directory has no absolute form of its base.
    let base = std::path::absolute(base).unwrap_or_else(|_| base.to_owned());
    let mut config = config.clone();
    each(&mut config, |_, _, file| {
        if !file.as_os_str().is_empty() {
            *file = base.join(&*file);
        }
    });
    config
}

/// The files of `config` whose contents count, each once.
pub(crate) fn contents(config: &Config) -> Vec<PathBuf> {
    let mut files = Vec::new();
    each(&mut config.clone(), |_, purpose, file| {
        if purpose == Purpose::Contents && !file.as_os_str().is_empty() && !files.contains(file) {
            files.push(file.clone());
        }
    });
    files
}

/// Reads a regular file of bounded length.
///
/// # Errors
/// What the system says, or [`io::ErrorKind::InvalidInput`] for a folder, device or pipe (opening
/// which could block for ever) and for a file that is too long.
pub(crate) fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let wrong = |what: String| io::Error::new(io::ErrorKind::InvalidInput, what);
    // Asked before opening, because opening a pipe waits for its writer.
    if !std::fs::metadata(path)?.is_file() {
        return Err(wrong("it is not a regular file".into()));
    }
    let mut contents = Vec::new();
    File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut contents)?;
    if contents.len() as u64 > MAX_FILE_BYTES {
        return Err(wrong(format!("it is longer than {MAX_FILE_BYTES} bytes")));
    }
    Ok(contents)
}
