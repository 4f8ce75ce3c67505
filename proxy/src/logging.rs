//! The log: one event a line on stderr, for people or as JSON, and how a name may appear in it.

use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal as _, Write};

use tracing::level_filters::LevelFilter;
use tracing::subscriber::set_global_default;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::{Registry, fmt as layers, reload};

use crate::bind::ShortHash;
use crate::cli::LogFormat;
use crate::config::LogLevel;

/// Why the log could not be set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoggingError {
    /// The process has a log already; it stays as it was.
    #[error("the log is set up already")]
    AlreadySetUp,
}

/// Changes the log while it is in use.
#[derive(Clone, Debug)]
pub struct LogHandle {
    filter: reload::Handle<Targets, Registry>,
}

impl LogHandle {
    /// Writes events of this level and more severe ones from now on.
    pub fn set_level(&self, level: LogLevel) {
        // It fails only when the subscriber is gone, and with it the log.
        let _ = self.filter.reload(filter(level));
    }
}

/// Sets up the log of the process on stderr. Without a format it is text on a terminal and JSON
/// for a collector.
///
/// # Errors
/// When the process has a log already; nothing changed.
pub fn init(format: Option<LogFormat>, level: LogLevel) -> Result<LogHandle, LoggingError> {
    let terminal = io::stderr().is_terminal();
    let format = format.unwrap_or(if terminal { LogFormat::Text } else { LogFormat::Json });
    let (subscriber, handle) = subscriber(format, level, terminal, io::stderr);
    set_global_default(subscriber).map_err(|_| LoggingError::AlreadySetUp)?;
    Ok(handle)
}

fn subscriber<W>(
    format: LogFormat,
    level: LogLevel,
    colours: bool,
    writer: W,
) -> (impl tracing::Subscriber + Send + Sync, LogHandle)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(filter(level));
    let events = layers::layer().with_writer(OneLine { writer, colours });
    let events = match format {
        LogFormat::Text => events.with_ansi(colours).with_target(false).boxed(),
        LogFormat::Json => events.json().flatten_event(true).with_span_list(false).boxed(),
    };
    (tracing_subscriber::registry().with(filter).with(events), LogHandle { filter: handle })
}

/// The libraries below us are heard from `warn` on, except at `trace`.
fn filter(level: LogLevel) -> Targets {
    let ours = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let theirs = match level {
        LogLevel::Error | LogLevel::Trace => ours,
        LogLevel::Warn | LogLevel::Info | LogLevel::Debug => LevelFilter::WARN,
    };
    Targets::new().with_target("bindproxy", ours).with_default(theirs)
}

/// Keeps an event on one line and a terminal in order, whatever its fields hold: a line break from
/// a client or a directory must not look like an event of ours.
#[derive(Debug)]
struct OneLine<W> {
    writer: W,
    colours: bool,
}

impl<'a, W: MakeWriter<'a>> MakeWriter<'a> for OneLine<W> {
    type Writer = OneLineWriter<W::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        OneLineWriter { writer: self.writer.make_writer(), colours: self.colours }
    }
}

#[derive(Debug)]
struct OneLineWriter<W> {
    writer: W,
    colours: bool,
}

impl<W: Write> Write for OneLineWriter<W> {
    /// Takes whole events, which is how the formatter writes them.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let body = text.strip_suffix('\n').unwrap_or(&text);
        if body.contains(is_treacherous) {
            self.writer.write_all(tamed(body, self.colours).as_bytes())?;
        } else {
            self.writer.write_all(event)?;
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// The event on one line. Colours are kept: the formatter's own, and what a field may bring of them
/// does no harm.
fn tamed(body: &str, colours: bool) -> String {
    let mut line = String::with_capacity(body.len() + 32);
    for (at, character) in body.char_indices() {
        match character {
            '\n' => line.push_str("\\n"),
            '\u{1b}' if colours && is_colour(&body[at + 1..]) => line.push(character),
            character if is_treacherous(character) => line.extend(character.escape_unicode()),
            character => line.push(character),
        }
    }
    line.push('\n');
    line
}

/// Whether what follows an escape character only selects a colour or weight (ECMA-48 SGR).
fn is_colour(rest: &str) -> bool {
    let Some(parameters) = rest.strip_prefix('[') else { return false };
    parameters.trim_start_matches(|character: char| character.is_ascii_digit() || character == ';').starts_with('m')
}

/// A bind name on its way into the log: its hash, or (`logging.redactNames: false`) itself, escaped.
#[derive(Clone, Copy)]
pub enum LoggedName<'a> {
    /// The keyed hash.
    Redacted(ShortHash),
    /// The octets that the client sent.
    Plain(&'a [u8]),
}

impl<'a> LoggedName<'a> {
    /// A name whose keyed hash is `hash`, as `logging.redactNames` says.
    #[must_use]
    pub fn new(name: &'a [u8], hash: u32, redact: bool) -> Self {
        if redact { Self::Redacted(ShortHash(hash)) } else { Self::Plain(name) }
    }
}

impl fmt::Display for LoggedName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Redacted(hash) => hash.fmt(f),
            Self::Plain(name) => Escaped(name).fmt(f),
        }
    }
}

impl fmt::Debug for LoggedName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Octets of a stranger, safe to show: control characters, characters that reorder a line, and
/// what is not UTF-8 are escaped; after 256 octets it ends in `…`.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(pub &'a [u8]);

/// The longest prefix of a stranger's text that is shown, in octets.
const SHOWN_OCTETS: usize = 256;

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = 0;
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                shown += character.len_utf8();
                if shown > SHOWN_OCTETS {
                    return f.write_char('…');
                }
                match character {
                    '\n' => f.write_str("\\n")?,
                    character if is_treacherous(character) => write!(f, "{}", character.escape_unicode())?,
                    character => f.write_char(character)?,
                }
            }
            for octet in chunk.invalid() {
                shown += 1;
                if shown > SHOWN_OCTETS {
                    return f.write_char('…');
                }
                write!(f, "\\x{octet:02x}")?;
            }
        }
        Ok(())
    }
}

/// Control characters, line and paragraph separators, and the invisible ones that change the
/// direction of a line.
fn is_treacherous(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;
    use tracing::subscriber::with_default;

    use super::*;
    use crate::bind::NoShortHash;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Write for Captured {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(octets);
            Ok(octets.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Captured {
        fn lines(&self) -> Vec<String> {
            String::from_utf8(self.0.lock().clone()).expect("UTF-8").lines().map(str::to_owned).collect()
        }
    }

    fn log(format: LogFormat, level: LogLevel, events: impl FnOnce(&LogHandle)) -> Vec<String> {
        let captured = Captured::default();
        let writer = captured.clone();
        let (subscriber, handle) = subscriber(format, level, false, move || writer.clone());
        with_default(subscriber, || events(&handle));
        captured.lines()
    }

    #[test]
    fn a_line_break_in_a_field_does_not_end_the_event() {
        for format in [LogFormat::Text, LogFormat::Json] {
            let lines = log(format, LogLevel::Info, |_| {
                let forged = "x\n2026-01-01T00:00:00Z  INFO forged\r\u{7}\u{1b}[31m";
                tracing::info!(diagnostic = %forged, "the directory said: {forged}");
            });
            assert_eq!(lines.len(), 1, "{lines:?}");
            assert!(!lines[0].chars().any(char::is_control), "{lines:?}");
        }
    }

    #[test]
    fn on_a_terminal_colours_stay_and_other_sequences_go() {
        let event = "\u{1b}[32m INFO\u{1b}[0m x\u{1b}]0;title\u{7}\u{1b}[2J";
        let kept = "\u{1b}[32m INFO\u{1b}[0m x\\u{1b}]0;title\\u{7}\\u{1b}[2J\n";
        assert_eq!(tamed(event, true), kept);
        assert!(!tamed(event, false).contains('\u{1b}'));
    }

    #[test]
    fn json_events_are_objects_with_their_fields_on_top() {
        let lines = log(LogFormat::Json, LogLevel::Info, |_| {
            let name = LoggedName::new(b"cn=alice", 0x1a2b_3c4d, true);
            tracing::warn!(name = %name, code = 49, "refused");
        });
        let event: serde_json::Value = serde_json::from_str(&lines[0]).expect("JSON");
        assert_eq!(
            (event["level"].as_str(), event["message"].as_str(), event["name"].as_str(), event["code"].as_u64()),
            (Some("WARN"), Some("refused"), Some("~1a2b3c4d"), Some(49))
        );
        assert!(event["timestamp"].as_str().is_some_and(|time| time.ends_with('Z')));
    }

    #[test]
    fn the_level_changes_while_the_log_is_in_use() {
        let lines = log(LogFormat::Text, LogLevel::Info, |handle| {
            tracing::debug!("one");
            handle.set_level(LogLevel::Debug);
            tracing::debug!("two");
            handle.set_level(LogLevel::Error);
            tracing::warn!("three");
        });
        assert_eq!(lines.len(), 1);
        assert!(lines[0].contains("two"));
    }

    #[test]
    fn libraries_are_heard_from_warn_on_except_at_trace() {
        let chatter = || {
            tracing::debug!(target: "rustls::client", "library debug");
            tracing::warn!(target: "rustls::client", "library warn");
            tracing::debug!("own debug");
        };
        assert_eq!(log(LogFormat::Text, LogLevel::Debug, |_| chatter()).len(), 2);
        assert_eq!(log(LogFormat::Text, LogLevel::Trace, |_| chatter()).len(), 3);
        assert_eq!(log(LogFormat::Text, LogLevel::Error, |_| chatter()).len(), 0);
    }

    #[test]
    fn a_redacted_name_shows_nothing_of_itself() {
        let name = LoggedName::new(b"cn=alice,dc=example", 0xab, true);
        assert_eq!(format!("{name} {name:?}"), "~000000ab ~000000ab");
    }

    #[test]
    fn a_plain_name_is_escaped_and_bounded() {
        let shown = |name: &[u8]| LoggedName::new(name, 0, false).to_string();
        assert_eq!(shown("CORP\\ålice".as_bytes()), "CORP\\ålice");
        assert_eq!(shown(b"a\nb\x1b[2J\xff\x00"), "a\\nb\\u{1b}[2J\\xff\\u{0}");
        assert_eq!(shown("x\u{202e}y\u{2028}\u{9b}".as_bytes()), "x\\u{202e}y\\u{2028}\\u{9b}");
        let long = shown(&[b'a'; 5000]);
        assert_eq!((long.len(), long.ends_with('…')), (256 + '…'.len_utf8(), true));
    }

    #[test]
    fn a_short_hash_is_read_as_it_is_written() {
        let hash = ShortHash(0x1a2b_3c4d);
        assert_eq!(hash.to_string().parse(), Ok(hash));
        for wrong in ["1a2b3c4d", "~1a2b3c4", "~1a2b3c4dd", "~+a2b3c4d", "~1a2b3c4g", "~", "cn=x"] {
            assert_eq!(wrong.parse::<ShortHash>(), Err(NoShortHash), "{wrong}");
        }
    }
}
