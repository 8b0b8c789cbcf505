//! What was measured of whom, round by round, and the rows of goals that are made of it.

use std::fmt::Write as _;

use crate::rivals::page::{Goal, Row, median, short};

#[cfg(test)]
mod tests;

/// A table: a line for each measure, a column for each server.
#[derive(Debug, Default)]
pub(super) struct Board {
    cells: Vec<Cell>,
    /// Who was not measured, and why.
    absent: Vec<(String, String)>,
}

#[derive(Debug)]
struct Cell {
    who: String,
    what: String,
    unit: &'static str,
    found: Found,
}

#[derive(Debug)]
enum Found {
    /// A number for each round; infinite is longer than anybody waited.
    Figures(Vec<f64>),
    Words(String),
}

impl Board {
    /// A figure of one round.
    pub(super) fn add(&mut self, who: &str, what: &str, unit: &'static str, figure: f64) {
        match self.cells.iter_mut().find(|cell| cell.who == who && cell.what == what) {
            Some(Cell { found: Found::Figures(figures), .. }) => figures.push(figure),
            _ => self.cells.push(Cell {
                who: who.to_owned(),
                what: what.to_owned(),
                unit,
                found: Found::Figures(vec![figure]),
            }),
        }
    }

    /// Something that is no number; said again, the last counts.
    pub(super) fn say(&mut self, who: &str, what: &str, words: &str) {
        self.cells.retain(|cell| cell.who != who || cell.what != what);
        let found = Found::Words(words.replace(['|', '\n', '\r'], " "));
        self.cells.push(Cell { who: who.to_owned(), what: what.to_owned(), unit: "", found });
    }

    /// Who was not measured, and why. What was measured of it before does not count.
    pub(super) fn lacks(&mut self, who: &str, why: &str) {
        self.cells.retain(|cell| cell.who != who);
        if !self.absent.iter().any(|(name, _)| name == who) {
            self.absent.push((who.to_owned(), why.replace(['|', '\n', '\r'], " ")));
        }
    }

    /// Whether it still is measured.
    pub(super) fn has(&self, who: &str) -> bool {
        !self.absent.iter().any(|(name, _)| name == who)
    }

    /// Whether anything was.
    pub(super) fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// The figures of one, or why there are none.
    pub(super) fn figures(&self, who: &str, what: &str) -> Result<&[f64], String> {
        let found = self.cells.iter().find(|cell| cell.who == who && cell.what == what);
        match found {
            Some(Cell { found: Found::Figures(figures), .. }) => Ok(figures),
            _ => {
                let absent = self.absent.iter().find(|(name, _)| name == who);
                Err(absent.map_or_else(|| format!("{who}: no round ended"), |(name, why)| format!("{name}: {why}")))
            }
        }
    }

    /// What a measure of each is over that of one, as another measure.
    pub(super) fn over(&mut self, base: &str, what: &str, unit: &'static str, added: &str) {
        let Ok(least) = self.figures(base, what).map(<[f64]>::to_vec) else { return };
        let names: Vec<String> = self.names().into_iter().filter(|name| name != base).collect();
        for name in names {
            let figures = self.figures(&name, what).map(<[f64]>::to_vec).unwrap_or_default();
            for (figure, least) in figures.iter().zip(&least) {
                self.add(&name, added, unit, figure - least);
            }
        }
    }

    /// Ours divided by a rival's, round by round.
    pub(super) fn ratio(&self, said: &str, what: &str, (ours, theirs): (&str, &str), goal: Goal) -> Row {
        let figures = self.figures(ours, what).and_then(|own| {
            let others = self.figures(theirs, what)?;
            Ok(own.iter().zip(others).map(|(own, other)| own / other).collect())
        });
        Row { theirs: self.shown(theirs, what), ..self.row(said, what, ours, "", goal, figures) }
    }

    /// Ours alone.
    pub(super) fn alone(&self, said: &str, what: &str, unit: &'static str, ours: &str, goal: Goal) -> Row {
        self.row(said, what, ours, unit, goal, self.figures(ours, what).map(<[f64]>::to_vec))
    }

    fn row(
        &self,
        said: &str,
        what: &str,
        ours: &str,
        unit: &'static str,
        goal: Goal,
        figures: Result<Vec<f64>, String>,
    ) -> Row {
        let theirs = "–".to_owned();
        Row { part: "", what: said.to_owned(), goal, unit, figures, ours: self.shown(ours, what), theirs, why: "" }
    }

    /// A figure as the table shows it.
    pub(super) fn shown(&self, who: &str, what: &str) -> String {
        let found = self.cells.iter().find(|cell| cell.who == who && cell.what == what);
        found.map_or_else(|| "–".to_owned(), Cell::text)
    }

    fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        for cell in &self.cells {
            if !names.contains(&cell.who) {
                names.push(cell.who.clone());
            }
        }
        names
    }

    /// The table, a line for each measure and a column for each server, and below it who is not in it.
    pub(super) fn table(&self) -> String {
        let names = self.names();
        let mut measures: Vec<&str> = Vec::new();
        for cell in &self.cells {
            if !measures.contains(&cell.what.as_str()) {
                measures.push(&cell.what);
            }
        }
        let mut text = String::new();
        if !names.is_empty() {
            let _ = writeln!(text, "| | {} |\n|{}", names.join(" | "), " --- |".repeat(names.len() + 1));
        }
        for what in measures {
            let cells: Vec<String> = names.iter().map(|name| self.shown(name, what)).collect();
            let _ = writeln!(text, "| {what} | {} |", cells.join(" | "));
        }
        for (name, why) in &self.absent {
            let _ = write!(text, "\n{name} was not measured: {why}.\n");
        }
        text
    }
}

impl Cell {
    /// The median, with the least and the greatest.
    fn text(&self) -> String {
        let figures = match &self.found {
            Found::Figures(figures) => figures,
            Found::Words(words) => return words.clone(),
        };
        let one = |figure: f64| match figure {
            figure if figure.is_infinite() => "> 10".to_owned(),
            figure => short(figure),
        };
        let least = figures.iter().copied().fold(f64::INFINITY, f64::min);
        let most = figures.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let unit = if self.unit.is_empty() { String::new() } else { format!(" {}", self.unit) };
        let middle = one(median(figures));
        match least == most {
            true => format!("{middle}{unit}"),
            false => format!("{middle}{unit} ({}–{})", one(least), one(most)),
        }
    }
}
