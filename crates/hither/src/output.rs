//! What a person or a machine reads: answers on stdout, trouble with a code, a reason and the next command.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use serde_json::{Value, json};

/// How a command ended, as the shell sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Something failed.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The law said no.
    Refused = 3,
    /// No node, or no peer, answers.
    Unreachable = 4,
    /// A budget of power, queue or egress leaves no room.
    OverBudget = 5,
}

/// Why a command did not do what was asked, and what to type next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// A stable code such as `E0401`.
    pub(crate) code: String,
    /// What happened.
    pub(crate) message: String,
    /// Facts that explain it, one a line.
    pub(crate) notes: Vec<String>,
    /// What to type next.
    pub(crate) help: Vec<String>,
    /// How the program ends.
    pub(crate) exit: Exit,
    told: bool,
}

impl Trouble {
    /// Something failed.
    pub(crate) fn new(code: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
            notes: Vec::new(),
            help: Vec::new(),
            exit: Exit::Failed,
            told: false,
        }
    }

    /// Says what to type next.
    #[must_use]
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        let help = help.into();
        if !help.is_empty() {
            self.help.push(help);
        }
        self
    }

    /// Adds a fact.
    #[must_use]
    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Sets how the program ends.
    #[must_use]
    pub(crate) fn exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// The same without its text, for a command that has told it already; the program still ends with its code.
    #[must_use]
    pub(crate) fn quiet(mut self) -> Self {
        self.told = true;
        self
    }

    /// The text for a person.
    pub(crate) fn text(&self, colour: Colour) -> String {
        let mut text = format!("{}: {}\n", colour.red(&format!("error[{}]", self.code)), self.message);
        for note in &self.notes {
            let _ = writeln!(text, "  {note}");
        }
        for help in &self.help {
            let _ = writeln!(text, "  {} {help}", colour.green("help:"));
        }
        text
    }

    /// The object for a machine.
    pub(crate) fn json(&self) -> Value {
        json!({"error": {
            "code": self.code, "message": self.message, "notes": self.notes, "help": self.help,
            "exit": self.exit as u8,
        }})
    }
}

/// An error with everything that caused it, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            let _ = write!(text, ": {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// Whether colour is used: only on a terminal, and never with `NO_COLOR`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colour {
    /// Escape codes.
    On,
    /// Plain text.
    Off,
}

impl Colour {
    /// What stdout takes.
    pub(crate) fn of_stdout() -> Self {
        Self::of(std::io::stdout().is_terminal())
    }

    /// What stderr takes.
    pub(crate) fn of_stderr() -> Self {
        Self::of(std::io::stderr().is_terminal())
    }

    fn of(terminal: bool) -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        if terminal && !refused { Self::On } else { Self::Off }
    }

    fn paint(self, code: &str, text: &str) -> String {
        match self {
            Self::On => format!("\x1b[{code}m{text}\x1b[0m"),
            Self::Off => text.to_owned(),
        }
    }

    /// Trouble.
    pub(crate) fn red(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    /// Good news, and help.
    pub(crate) fn green(self, text: &str) -> String {
        self.paint("32", text)
    }

    /// What to look at.
    pub(crate) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// What to look past.
    pub(crate) fn faint(self, text: &str) -> String {
        self.paint("2", text)
    }
}

/// Where a command's answer goes, and in which form.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Screen {
    json: bool,
    /// The colour of stdout.
    pub(crate) colour: Colour,
}

impl Screen {
    /// For a command with or without `--json`.
    pub(crate) fn new(json: bool) -> Self {
        Self { json, colour: if json { Colour::Off } else { Colour::of_stdout() } }
    }

    /// The colours of the screen, and none for what goes elsewhere.
    pub(crate) fn colour_unless(self, elsewhere: bool) -> Colour {
        if elsewhere { Colour::Off } else { self.colour }
    }

    /// Whether a machine reads.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// Prints the answer: the object to a machine, the text to a person.
    pub(crate) fn answer(self, object: &Value, text: impl FnOnce(Colour) -> String) {
        if self.json {
            line(&object.to_string());
        } else {
            raw(&text(self.colour));
        }
    }

    /// Prints the trouble and says how the program ends. A machine finds it on stdout, a person on stderr.
    pub(crate) fn trouble(self, trouble: &Trouble) -> ExitCode {
        if trouble.told {
            return ExitCode::from(trouble.exit as u8);
        }
        if self.json {
            line(&trouble.json().to_string());
        } else {
            let text = trouble.text(Colour::of_stderr());
            // A closed stderr leaves nobody to tell; the exit code still speaks.
            let _ = std::io::stderr().lock().write_all(text.as_bytes());
        }
        ExitCode::from(trouble.exit as u8)
    }
}

/// Prints one line to stdout.
pub(crate) fn line(text: &str) {
    raw(&format!("{text}\n"));
}

/// Prints text to stdout as it is, at once. A reader who went away ends the printing, not the program.
pub(crate) fn raw(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Makes text from elsewhere safe for a terminal: control characters become visible.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests;
