//! Short aligned lines, coloured only where somebody looks at them.

use std::io::{self, Write};

/// How a value is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Good,
    Bad,
}

pub(super) struct Screen<'a> {
    out: &'a mut (dyn Write + Send),
    colours: bool,
}

/// Width of the labels in front of values.
const LABEL: usize = 24;

impl<'a> Screen<'a> {
    pub(super) fn new(out: &'a mut (dyn Write + Send), colours: bool) -> Self {
        Self { out, colours }
    }

    /// A headline, with an empty line before it.
    pub(super) fn title(&mut self, text: &str) -> io::Result<()> {
        let text = self.painted(text, "1");
        self.line(&format!("\n{text}"))
    }

    /// A label and what there is to say about it.
    pub(super) fn fact(&mut self, label: &str, value: &str, tone: Tone) -> io::Result<()> {
        let value = match tone {
            Tone::Plain => value.to_owned(),
            Tone::Good => self.painted(value, "32"),
            Tone::Bad => self.painted(value, "31"),
        };
        self.line(&format!("   {label:<LABEL$}{value}"))
    }

    /// A line as it is.
    pub(super) fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{text}")?;
        self.out.flush()
    }

    fn painted(&self, text: &str, colour: &str) -> String {
        if self.colours { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
