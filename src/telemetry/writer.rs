//! Log lines on their way to standard error. They are best effort: a reader that is slow, stuck or gone costs lines,
//! and never holds up or breaks what is logged about.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread::Builder;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tracing_subscriber::fmt::MakeWriter;

/// The most that waits to be written, in bytes. Further lines are dropped.
const MAX_QUEUED_BYTES: usize = 1 << 20;
/// How long lines are collected before they are written: a busy server writes many at once.
const COLLECT: Duration = Duration::from_millis(5);
/// How long a full pipe is left alone before it is tried again.
const RETRY: Duration = Duration::from_millis(10);
/// How long the end of the process waits for the last lines.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Takes log lines in memory; a thread of its own writes them. Writing never fails and never waits.
#[derive(Debug, Clone)]
pub(super) struct LogWriter(Arc<Queue>);

/// Writes the lines that are left when it is dropped, for at most a second.
#[derive(Debug)]
#[must_use = "dropping it ends the log"]
pub struct LogGuard(Arc<Queue>);

#[derive(Debug, Default)]
struct Queue {
    state: Mutex<WriterState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct WriterState {
    lines: Vec<u8>,
    dropped: u64,
    closing: bool,
    finished: bool,
}

impl LogWriter {
    /// A writer to standard error.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(super) fn to_stderr() -> io::Result<(Self, LogGuard)> {
        // Not through `std::io::stderr`: its lock would be held while a stuck reader blocks the thread.
        let stderr = File::from(io::stderr().as_fd().try_clone_to_owned()?);
        Self::spawn(stderr)
    }

    fn spawn(output: impl Write + Send + 'static) -> io::Result<(Self, LogGuard)> {
        let queue = Arc::<Queue>::default();
        let thread = queue.clone();
        Builder::new().name("log".to_owned()).spawn(move || thread.write_to(output))?;
        Ok((Self(queue.clone()), LogGuard(queue)))
    }
}

impl Write for &LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut state = self.0.state.lock();
        if state.lines.len() + line.len() > MAX_QUEUED_BYTES {
            state.dropped += 1;
        } else {
            let was_empty = state.lines.is_empty();
            state.lines.extend_from_slice(line);
            if was_empty {
                self.0.changed.notify_all();
            }
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

impl Queue {
    fn write_to(&self, mut output: impl Write) {
        let mut batch = Vec::new();
        while let Some(dropped) = self.take(&mut batch) {
            write_all(&mut output, &batch);
            batch.clear();
            if dropped > 0 {
                tracing::warn!(dropped, "log lines were dropped: they were not read fast enough");
            }
        }
        self.state.lock().finished = true;
        self.changed.notify_all();
    }

    /// Waits for lines and moves them into `batch`; returns how many lines were dropped meanwhile. `None` when the
    /// queue is closed and empty.
    fn take(&self, batch: &mut Vec<u8>) -> Option<u64> {
        let mut state = self.state.lock();
        while state.lines.is_empty() && !state.closing {
            self.changed.wait(&mut state);
        }
        if !state.closing {
            self.changed.wait_for(&mut state, COLLECT);
        }
        std::mem::swap(batch, &mut state.lines);
        (!batch.is_empty()).then(|| std::mem::take(&mut state.dropped))
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.closing = true;
        self.0.changed.notify_all();
        self.0.changed.wait_while_for(&mut state, |state| !state.finished, FLUSH_TIMEOUT);
    }
}

/// Writes what can be written. A pipe that is full but does not block is tried again; what fails otherwise is lost.
fn write_all(output: &mut impl Write, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match output.write(bytes) {
            Ok(0) => return,
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(RETRY),
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Instant;

    use super::*;

    /// Fails as `failures` says, then passes on what is written.
    struct Output {
        sender: mpsc::Sender<Vec<u8>>,
        failures: Vec<ErrorKind>,
    }

    impl Write for Output {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            match self.failures.pop() {
                Some(kind) => Err(kind.into()),
                None => {
                    let some = &bytes[..bytes.len().min(7)];
                    self.sender.send(some.to_vec()).unwrap();
                    Ok(some.len())
                }
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn output(failures: &[ErrorKind]) -> (Output, mpsc::Receiver<Vec<u8>>) {
        let (sender, receiver) = mpsc::channel();
        (Output { sender, failures: failures.to_vec() }, receiver)
    }

    fn log(writer: &LogWriter, line: &str) {
        { writer }.write_all(line.as_bytes()).unwrap();
    }

    #[test]
    fn every_line_is_written_in_order_before_the_guard_is_gone() {
        let (output, receiver) = output(&[ErrorKind::WouldBlock, ErrorKind::Interrupted]);
        let (writer, guard) = LogWriter::spawn(output).unwrap();
        let lines: String = (0..1000).map(|n| format!("line {n}\n")).collect();
        lines.split_inclusive('\n').for_each(|line| log(&writer, line));
        drop(guard);
        assert_eq!(String::from_utf8(receiver.try_iter().flatten().collect()).unwrap(), lines);
    }

    #[test]
    fn a_reader_that_is_gone_costs_lines_and_nothing_else() {
        let (output, receiver) = output(&[ErrorKind::BrokenPipe]);
        let (writer, guard) = LogWriter::spawn(output).unwrap();
        log(&writer, "lost\n");
        std::thread::sleep(COLLECT * 10);
        log(&writer, "written\n");
        drop(guard);
        assert!(receiver.try_iter().flatten().eq(*b"written\n"));
    }

    /// Blocks for ever, like a full pipe without a reader.
    struct Stuck;

    impl Write for Stuck {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            loop {
                std::thread::park();
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_is_stuck_delays_no_request_and_the_queue_is_bounded() {
        let (writer, guard) = LogWriter::spawn(Stuck).unwrap();
        let start = Instant::now();
        let line = format!("{}\n", "x".repeat(1023));
        (0..3000).for_each(|_| log(&writer, &line));
        let (queued, dropped) = {
            let state = writer.0.state.lock();
            (state.lines.len(), state.dropped)
        };
        assert!(queued <= MAX_QUEUED_BYTES && dropped >= 3000 - 2 * 1024, "{queued} {dropped}");
        drop(guard);
        assert!(start.elapsed() < FLUSH_TIMEOUT * 3, "{:?}", start.elapsed());
    }
}
