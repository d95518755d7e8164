//! Lines on their way to standard error: one that comes alone is written at once, those of a crowd together.
//!
//! A system call for each line is a tenth of what a busy service does. So a line that comes within a few milliseconds of
//! the last one waits for those that follow, that long at the most; a warning or an error takes all of them along at once.
//! A process that is killed loses what waited.

use std::{
    io::{self, Write},
    sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError},
    thread,
    time::Duration,
};

use tokio::time::Instant;
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// How long a line may wait for others.
const WAIT: Duration = Duration::from_millis(5);

/// So many bytes are written without waiting for more.
const PLENTY: usize = 32 * 1024;

/// Where lines wait.
pub(super) struct Lines {
    waiting: Mutex<Waiting>,
    some: Condvar,
    to: fn(&[u8]),
}

struct Waiting {
    bytes: Vec<u8>,
    written: Option<Instant>,
    /// Somebody sees to it that what waits is written.
    attended: bool,
}

static STANDARD_ERROR: OnceLock<&'static Lines> = OnceLock::new();

/// Those of standard error.
pub(super) fn standard_error() -> &'static Lines {
    STANDARD_ERROR.get_or_init(|| {
        Lines::leak(|bytes| {
            // There is nowhere to tell of it.
            let _ = io::stderr().write_all(bytes);
        })
    })
}

/// Writes what waits, before the process ends.
pub(super) fn flush() {
    if let Some(lines) = STANDARD_ERROR.get() {
        lines.write(&mut lines.waiting());
    }
}

impl Lines {
    /// Lines that last as long as the process, and the thread that attends to them.
    fn leak(to: fn(&[u8])) -> &'static Self {
        let lines: &Self = Box::leak(Box::new(Self {
            waiting: Mutex::new(Waiting {
                bytes: Vec::new(),
                written: None,
                attended: false,
            }),
            some: Condvar::new(),
            to,
        }));
        let thread = thread::Builder::new().name("log".to_owned());
        let attended = thread.spawn(move || lines.attend()).is_ok();
        lines.waiting().attended = attended;
        lines
    }

    fn attend(&self) {
        loop {
            let waiting = self.waiting();
            let some = self.some.wait_while(waiting, |waiting| waiting.bytes.is_empty());
            drop(some.unwrap_or_else(PoisonError::into_inner));
            thread::sleep(WAIT);
            self.write(&mut self.waiting());
        }
    }

    fn take(&self, line: &[u8], at_once: bool) {
        let mut waiting = self.waiting();
        let first = waiting.bytes.is_empty();
        waiting.bytes.extend_from_slice(line);
        let alone = waiting.written.is_none_or(|written| written.elapsed() > WAIT);
        if at_once || !waiting.attended || waiting.bytes.len() >= PLENTY || (first && alone) {
            self.write(&mut waiting);
        } else if first {
            self.some.notify_one();
        }
    }

    fn write(&self, waiting: &mut Waiting) {
        if !waiting.bytes.is_empty() {
            (self.to)(&waiting.bytes);
            waiting.bytes.clear();
        }
        waiting.written = Some(Instant::now());
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One line, of one level.
pub(super) struct Line {
    lines: &'static Lines,
    at_once: bool,
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.lines.take(bytes, self.at_once);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for &'static Lines {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line {
            lines: self,
            at_once: true,
        }
    }

    fn make_writer_for(&'a self, line: &Metadata<'_>) -> Line {
        Line {
            lines: self,
            at_once: *line.level() <= Level::WARN,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static WRITTEN: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

    #[test]
    fn nothing_is_lost_and_a_crowd_is_written_together() {
        let lines = Lines::leak(|bytes| WRITTEN.lock().unwrap().push(bytes.to_vec()));
        let mut all = Vec::new();
        for number in 0..2_000 {
            let line = format!("line {number}\n");
            all.extend_from_slice(line.as_bytes());
            lines.take(line.as_bytes(), false);
        }
        assert_eq!(
            WRITTEN.lock().unwrap()[0],
            b"line 0\n",
            "the first is written at once"
        );
        lines.take(b"an error\n", true);
        all.extend_from_slice(b"an error\n");
        let written = WRITTEN.lock().unwrap();
        assert_eq!(written.concat(), all);
        assert!(written.len() < 1_000, "{}", written.len());
    }
}
