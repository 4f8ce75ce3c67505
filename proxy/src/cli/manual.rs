//! The manual page: one for the program, with a section for each command.

use std::io::{self, Write};

use clap::{Arg, Command, CommandFactory as _};

use super::Cli;

/// What no definition of arguments says. Roff by hand: `.TP` is a term, `\-` a minus.
const CLOSING_SECTIONS: &str = r#".SH ENVIRONMENT
Every option that shows an environment variable takes its value from there when it is not on the command line.
.TP
\fBSSL_CERT_FILE\fR
The authorities for upstreams without \fItls.caFile\fR, instead of the system's.
.SH SIGNALS
.TP
\fBSIGTERM\fR, \fBSIGINT\fR
\fBrun\fR stops accepting, finishes what is in flight within \fIdrain.timeoutSeconds\fR, and ends.
.TP
\fBSIGHUP\fR
\fBrun\fR reads the configuration again. So does a change of the file, or of a certificate or key that it names. A configuration that is bad is refused whole, and the old one keeps serving.
.SH EXIT STATUS
.TP
\fB0\fR
Done; for \fBrun\fR, drained.
.TP
\fB1\fR
A fault, nobody answered, or a member of the cluster did not acknowledge a \fBflush\fR.
.TP
\fB2\fR
The configuration or the command line is bad.
.SH FILES
.TP
\fI/etc/bindproxy/bindproxy.yaml\fR
The configuration of the systemd unit. \fBbindproxy schema\fR prints the JSON schema of the format.
"#;

/// `man`: writes the manual page.
///
/// # Errors
/// When `out` cannot be written.
pub fn man(out: &mut impl Write) -> io::Result<()> {
    let mut command = Cli::command();
    command.build();
    let page = clap_mangen::Man::new(command.clone());
    page.render_title(out)?;
    page.render_name_section(out)?;
    page.render_synopsis_section(out)?;
    writeln!(out, ".SH OPTIONS")?;
    writeln!(out, "Before or after the command:")?;
    options(&command, |argument| argument.is_global_set(), out)?;
    writeln!(out, ".SH COMMANDS")?;
    for command in command.get_subcommands().filter(|command| command.get_name() != "help") {
        writeln!(out, ".SS \"bindproxy {}\"", command.get_name())?;
        writeln!(out, "{}", escaped(&command.get_about().map(ToString::to_string).unwrap_or_default()))?;
        options(command, |argument| !argument.is_global_set() && argument.get_id() != "help", out)?;
    }
    out.write_all(CLOSING_SECTIONS.as_bytes())
}

/// One term for each argument of `command` that `shown` picks.
fn options(command: &Command, shown: impl Fn(&Arg) -> bool, out: &mut impl Write) -> io::Result<()> {
    for argument in command.get_arguments().filter(|argument| shown(argument)) {
        let mut names: Vec<String> = Vec::new();
        names.extend(argument.get_short().map(|short| format!("\\fB\\-{short}\\fR")));
        names.extend(argument.get_long().map(|long| format!("\\fB\\-\\-{}\\fR", escaped(long))));
        let mut term = names.join(", ");
        if argument.get_action().takes_values() {
            for value in argument.get_value_names().into_iter().flatten() {
                term.push_str(&format!(" \\fI{}\\fR", escaped(value)));
            }
        }
        writeln!(out, ".TP\n{}", term.trim_start())?;
        writeln!(out, "{}", escaped(&argument.get_help().map(ToString::to_string).unwrap_or_default()))?;
        let values = argument.get_possible_values();
        let takes_values = argument.get_action().takes_values();
        if takes_values && !values.is_empty() {
            let names: Vec<&str> = values.iter().map(clap::builder::PossibleValue::get_name).collect();
            writeln!(out, ".br\nOne of {}.", escaped(&names.join(", ")))?;
        }
        if takes_values && let [default] = argument.get_default_values() {
            writeln!(out, ".br\nDefault: {}.", escaped(&default.to_string_lossy()))?;
        }
        if let Some(variable) = argument.get_env() {
            writeln!(out, ".br\nEnvironment: \\fB{}\\fR.", escaped(&variable.to_string_lossy()))?;
        }
    }
    Ok(())
}

/// A text as roff: no backslash, minus or control line of its own.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}
