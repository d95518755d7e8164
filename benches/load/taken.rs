//! The values of every round of calls, and the figures that become of them.

use std::{collections::BTreeMap, time::Duration};

use super::{
    arguments::Engine,
    drive::percentile,
    report::{Figure, Report, median, micros},
};

pub(super) const MIB: f64 = 1024.0 * 1024.0;
pub(super) const ECHO_SINGLE: &str = "echo, one thread";
pub(super) const ECHO_MULTI: &str = "echo, multi-threaded";
pub(super) const COMMIT: &str = "bare commit p50";
/// What a call costs the one-threaded echo.
pub(super) const ECHO_CPU: &str = "echo, one thread, processor";
/// How long a call to it takes: the wire and the run-time, no work.
pub(super) const ECHO_P50: &str = "echo, one thread, p50";
pub(super) const MAILS: &str = "mails meanwhile";
pub(super) const RESIDENT: &str = "resident after starts";
pub(super) const FLOWS: &str = "flows";

/// The names of the figures of one kind of call.
pub(super) struct Names {
    pub(super) rate: &'static str,
    pub(super) p50: &'static str,
    pub(super) p99: &'static str,
    pub(super) cpu: &'static str,
}

pub(super) const START: Names = Names {
    rate: "start",
    p50: "start p50",
    p99: "start p99",
    cpu: "start and mail, processor",
};
pub(super) const VERIFY: Names = Names {
    rate: "verify",
    p50: "verify p50",
    p99: "verify p99",
    cpu: "verify, processor",
};
pub(super) const MIXED: Names = Names {
    rate: "verify, 1 in 4 wrong",
    p50: "verify, 1 in 4 wrong, p50",
    p99: "verify, 1 in 4 wrong, p99",
    cpu: "verify, 1 in 4 wrong, processor",
};
/// Submitted again: answered from memory. What a call costs without the store.
pub(super) const AGAIN: Names = Names {
    rate: "verify again, from memory",
    p50: "verify again p50",
    p99: "verify again p99",
    cpu: "verify again, processor",
};
pub(super) const FLOW_START: Names = Names {
    rate: FLOWS,
    p50: "flow: start p50",
    p99: "flow: start p99",
    cpu: "",
};
pub(super) const FLOW_VERIFY: Names = Names {
    rate: FLOWS,
    p50: "flow: verify p50",
    p99: "flow: verify p99",
    cpu: "",
};

/// Every value of every round.
#[derive(Default)]
pub(super) struct Taken(BTreeMap<(usize, &'static str), Vec<f64>>);

impl Taken {
    pub(super) fn add(&mut self, name: &'static str, in_flight: usize, value: f64) {
        self.0.entry((in_flight, name)).or_default().push(value);
    }

    pub(super) fn times(
        &mut self,
        names: &Names,
        in_flight: usize,
        latencies: &[Duration],
        took: Duration,
        cpu: Duration,
    ) {
        let calls = latencies.len() as f64;
        self.add(names.rate, in_flight, calls / took.as_secs_f64());
        self.add(names.p50, in_flight, micros(percentile(latencies, 50)));
        self.add(names.p99, in_flight, micros(percentile(latencies, 99)));
        self.add(names.cpu, in_flight, micros(cpu) / calls.max(1.0));
    }

    fn median(&self, name: &'static str, in_flight: usize) -> Option<f64> {
        self.0
            .get(&(in_flight, name))
            .map(|values| median(values.clone()))
    }

    pub(super) fn report(&self, engine: Engine, report: &mut Report) {
        let mut counts: Vec<usize> = self.0.keys().map(|(in_flight, _)| *in_flight).collect();
        counts.dedup();
        for in_flight in counts {
            self.report_at(engine, in_flight, report);
        }
    }

    fn report_at(&self, engine: Engine, in_flight: usize, report: &mut Report) {
        let (verify_bar, start_bar) = match engine {
            Engine::Sqlite => (0.40, 0.20),
            Engine::Postgres => (0.25, 0.12),
        };
        let mut say = |name: &'static str, unit: &'static str, shape: &dyn Fn(Figure) -> Figure| {
            if let Some(value) = self.median(name, in_flight) {
                report.add(shape(Figure::new(name, value, unit).on(engine).at(in_flight)));
            }
        };
        let echoes = [ECHO_SINGLE, ECHO_MULTI];
        for echo in echoes {
            say(echo, "/s", &|figure| figure);
        }
        for name in [ECHO_CPU, ECHO_P50] {
            say(name, "us", &|figure| figure);
        }
        let commit = self.median(COMMIT, in_flight);
        say(COMMIT, "us", &|figure| figure);
        // The faster of the two is what the machine could do.
        let ceiling = echoes
            .into_iter()
            .filter_map(|echo| self.median(echo, in_flight))
            .fold(0.0, f64::max);
        let bars = [
            (VERIFY, Some(verify_bar)),
            (MIXED, None),
            (AGAIN, None),
            (START, Some(start_bar)),
        ];
        for (names, bar) in bars {
            say(names.rate, "/s", &|figure| {
                let figure = figure.beside("echo", ceiling);
                match bar.filter(|_| in_flight == 128) {
                    Some(bar) => figure.at_least(bar),
                    None => figure,
                }
            });
            say(
                names.p50,
                "us",
                &|figure| match commit.filter(|_| names.rate == VERIFY.rate) {
                    Some(commit) => figure.beside("bare commit", commit).within(1.3),
                    None => figure,
                },
            );
            for name in [names.p99, names.cpu] {
                say(name, "us", &|figure| figure);
            }
        }
        say(MAILS, "/s", &|figure| figure);
        say(RESIDENT, "MiB", &|figure| figure);
        say(FLOWS, "/s", &|figure| figure);
        for names in [FLOW_START, FLOW_VERIFY] {
            for name in [names.p50, names.p99] {
                say(name, "us", &|figure| figure);
            }
        }
    }
}
