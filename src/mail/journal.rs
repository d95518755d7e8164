//! How far an attempt has come: kept outside of it, so that it is known when the attempt is cut short.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::guard::Gauge;
use crate::domain::delivery::{ConnectionReport, FailureKind, SendFailure, Stage, StageReport, TlsReport};

/// The journal of one attempt, or of one connection test.
#[derive(Debug)]
pub(super) struct Journal {
    stage: Stage,
    begun: Instant,
    dot: Option<(Arc<Gauge>, u64)>,
    report: ConnectionReport,
}

impl Journal {
    pub(super) fn new() -> Self {
        Self {
            stage: Stage::Resolve,
            begun: Instant::now(),
            dot: None,
            report: ConnectionReport::default(),
        }
    }

    /// The attempt begins a stage.
    pub(super) fn begin(&mut self, stage: Stage) {
        self.stage = stage;
        self.begun = Instant::now();
    }

    /// The message is about to be written: once the gauge shows `end` bytes, the final dot may be out.
    pub(super) fn expect_dot(&mut self, gauge: Arc<Gauge>, end: u64) {
        self.dot = Some((gauge, end));
    }

    /// The stage that was begun last; [`Stage::Accept`] as soon as the final dot may be out.
    pub(super) fn stage(&self) -> Stage {
        match &self.dot {
            Some((gauge, end)) if gauge.written() >= *end => Stage::Accept,
            _ => self.stage,
        }
    }

    /// The stage passed.
    pub(super) fn passed(&mut self, reply: impl Into<String>) {
        self.note(true, reply.into(), self.begun.elapsed());
    }

    /// The stage failed.
    pub(super) fn failed(&mut self, failure: &SendFailure) {
        self.stage = failure.stage;
        if failure.stage == Stage::Tls {
            // It seemed to have passed: a client's certificate is refused after the handshake.
            self.report.stages.retain(|passed| passed.stage != Stage::Tls);
        }
        self.note(false, failure.reply.clone(), self.begun.elapsed());
    }

    /// The failure of an attempt that ended without a reply: lost, or out of time.
    pub(super) fn lost(&self, reply: impl Into<String>) -> SendFailure {
        let stage = self.stage();
        let kind = if stage == Stage::Accept {
            FailureKind::Ambiguous
        } else {
            FailureKind::Temporary
        };
        SendFailure {
            stage,
            kind,
            code: None,
            reply: reply.into(),
        }
    }

    /// The connection is encrypted.
    pub(super) fn encrypted(&mut self, tls: TlsReport) {
        self.passed(tls.version.clone());
        self.report.tls = Some(tls);
    }

    /// The stages so far.
    pub(super) fn into_report(self) -> ConnectionReport {
        self.report
    }

    fn note(&mut self, passed: bool, reply: String, duration: Duration) {
        self.report.stages.push(StageReport {
            stage: self.stage(),
            passed,
            reply,
            duration,
        });
    }
}
