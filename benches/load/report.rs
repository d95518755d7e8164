//! The results: a table for people, JSON for programs, and the bars they are held against.

use std::{fs, time::Duration};

use serde_json::{Value, json};

use super::{
    Outcome,
    arguments::{Arguments, Engine},
    machine,
};

/// One figure.
pub(crate) struct Figure {
    name: &'static str,
    engine: &'static str,
    in_flight: Option<usize>,
    value: f64,
    unit: &'static str,
    /// What the machine could do: its name and its value.
    ceiling: Option<(&'static str, f64)>,
    bar: Option<Bar>,
}

/// What a figure is held against.
#[derive(Clone, Copy)]
enum Bar {
    /// The ratio to the ceiling, at least.
    AtLeast(f64),
    /// The ratio to the ceiling, at most.
    Within(f64),
    /// The value itself, at most.
    AtMost(f64),
}

impl Figure {
    /// A value.
    pub(crate) fn new(name: &'static str, value: f64, unit: &'static str) -> Self {
        Self {
            name,
            engine: "",
            in_flight: None,
            value,
            unit,
            ceiling: None,
            bar: None,
        }
    }

    /// With the store that was used.
    pub(crate) fn on(mut self, engine: Engine) -> Self {
        self.engine = engine.name();
        self
    }

    /// With so many calls, or connections, at a time.
    pub(crate) fn at(mut self, in_flight: usize) -> Self {
        self.in_flight = Some(in_flight);
        self
    }

    /// Beside what it is compared with.
    pub(crate) fn beside(mut self, name: &'static str, value: f64) -> Self {
        self.ceiling = Some((name, value));
        self
    }

    /// Held to this part of the ceiling at the least.
    pub(crate) fn at_least(mut self, ratio: f64) -> Self {
        self.bar = Some(Bar::AtLeast(ratio));
        self
    }

    /// Held to so many times the ceiling at the most.
    pub(crate) fn within(mut self, ratio: f64) -> Self {
        self.bar = Some(Bar::Within(ratio));
        self
    }

    /// Held to this value at the most.
    pub(crate) fn at_most(mut self, value: f64) -> Self {
        self.bar = Some(Bar::AtMost(value));
        self
    }

    fn ratio(&self) -> Option<f64> {
        self.ceiling
            .filter(|(_, value)| *value > 0.0)
            .map(|(_, value)| self.value / value)
    }

    fn met(&self) -> Option<bool> {
        match self.bar? {
            Bar::AtLeast(least) => Some(self.ratio()? >= least),
            Bar::Within(most) => Some(self.ratio()? <= most),
            Bar::AtMost(most) => Some(self.value <= most),
        }
    }

    fn bar_in_words(&self) -> String {
        match self.bar {
            None => String::new(),
            Some(Bar::AtLeast(least)) => format!(">= {:.0} %", least * 100.0),
            Some(Bar::Within(most)) => format!("<= {most} x"),
            Some(Bar::AtMost(most)) => format!("<= {most} {}", self.unit),
        }
    }

    fn ratio_in_words(&self) -> String {
        match (self.ratio(), self.bar) {
            (None, _) => String::new(),
            (Some(ratio), Some(Bar::Within(_))) => format!("{ratio:.2} x"),
            (Some(ratio), _) => format!("{:.1} %", ratio * 100.0),
        }
    }

    fn cells(&self) -> [String; 8] {
        let ceiling = self
            .ceiling
            .map(|(name, value)| format!("{} ({name})", short(value)));
        [
            self.name.to_owned(),
            self.engine.to_owned(),
            self.in_flight
                .map(|number| number.to_string())
                .unwrap_or_default(),
            format!("{} {}", short(self.value), self.unit),
            ceiling.unwrap_or_default(),
            self.ratio_in_words(),
            self.bar_in_words(),
            match self.met() {
                None => "",
                Some(true) => "yes",
                Some(false) => "NO",
            }
            .to_owned(),
        ]
    }

    fn json(&self) -> Value {
        json!({
            "figure": self.name,
            "engine": self.engine,
            "in_flight": self.in_flight,
            "value": self.value,
            "unit": self.unit,
            "ceiling": self.ceiling.map(|(name, value)| json!({ "name": name, "value": value })),
            "ratio": self.ratio(),
            "bar": self.bar_in_words(),
            "met": self.met(),
        })
    }
}

/// All figures of a run.
pub(crate) struct Report {
    conditions: Value,
    figures: Vec<Figure>,
    skipped: Vec<(&'static str, &'static str)>,
}

impl Report {
    /// An empty one, with what the figures depend on.
    pub(crate) fn new(arguments: &Arguments) -> Self {
        let disk = machine::file_system(&arguments.directory);
        let disk = disk.unwrap_or_else(|error| format!("unknown: {error}"));
        let conditions = json!({
            "processor": machine::processor(),
            "cores": format!("service on {}, everything else on {}", machine::SERVER, machine::CLIENT),
            "file_system": disk,
            "repetitions": arguments.repetitions(),
            "window_ms": u64::try_from(arguments.window().as_millis()).unwrap_or(u64::MAX),
            "quick": arguments.quick,
        });
        println!("{conditions:#}");
        Self {
            conditions,
            figures: Vec::new(),
            skipped: Vec::new(),
        }
    }

    /// Adds a figure, and shows that the run goes on.
    pub(crate) fn add(&mut self, figure: Figure) {
        let cells = figure.cells();
        eprintln!("{}", cells.join("  ").trim_end());
        self.figures.push(figure);
    }

    /// Says that something is not measured here.
    pub(crate) fn skip(&mut self, what: &'static str, why: &'static str) {
        eprintln!("{what}: not measured: {why}");
        self.skipped.push((what, why));
    }

    /// Prints everything, and writes the JSON that was asked for.
    pub(crate) fn end(self, arguments: &Arguments) -> Outcome<()> {
        let headings = [
            "figure", "engine", "at once", "value", "ceiling", "ratio", "bar", "met",
        ];
        let mut rows = vec![headings.map(str::to_owned)];
        rows.extend(self.figures.iter().map(Figure::cells));
        let widths: [usize; 8] =
            std::array::from_fn(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0));
        for (number, row) in rows.iter().enumerate() {
            let cells = row
                .iter()
                .zip(widths)
                .map(|(cell, width)| format!(" {cell:<width$} |"));
            println!("|{}", cells.collect::<String>());
            if number == 0 {
                println!("|{}", widths.map(|width| "-".repeat(width + 2) + "|").concat());
            }
        }
        for (what, why) in &self.skipped {
            println!("not measured: {what}: {why}");
        }
        let missed = self
            .figures
            .iter()
            .filter(|figure| figure.met() == Some(false))
            .count();
        println!(
            "{missed} bars missed{}",
            if arguments.quick {
                "; a quick run measures nothing"
            } else {
                ""
            }
        );
        if let Some(file) = &arguments.json {
            let figures: Vec<Value> = self.figures.iter().map(Figure::json).collect();
            let skipped: Vec<&str> = self.skipped.iter().map(|(what, _)| *what).collect();
            let all = json!({ "conditions": self.conditions, "figures": figures, "not_measured": skipped });
            fs::write(file, format!("{all:#}\n"))?;
        }
        Ok(())
    }
}

/// The middle one of some values.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A span in microseconds.
pub(crate) fn micros(span: Duration) -> f64 {
    span.as_secs_f64() * 1e6
}

/// As many digits as tell something.
fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
