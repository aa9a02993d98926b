//! What the media thread and Python hand each other.
//!
//! The media thread never waits for a lock: it only tries, and comes back a millisecond later when
//! a Python thread was descheduled while it held one. Python may wait, without the GIL.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};
use std::{io, mem};

use rustix::event::{EventfdFlags, eventfd};

use super::counters::NetCounters;
use super::tap_queues::TapQueues;
use crate::api::{Command, Event, Micros, TapFrame, TapId};
use crate::core::Core;

/// Commands that may wait for the media thread.
const MAX_COMMANDS: usize = 65_536;
/// Bytes of frames and DTLS that may wait with them.
const MAX_COMMAND_BYTES: usize = 32 * 1024 * 1024;
/// Events that may wait for Python.
const MAX_EVENTS: usize = 65_536;
/// DTLS datagrams are taken up to here only: the rest is for news that come once.
const MAX_DTLS_EVENTS: usize = MAX_EVENTS / 2;
/// TWCC bytes that may wait for Python: about 10 s of a full house.
const MAX_TWCC_BYTES: usize = 8 * 1024 * 1024;
/// Bytes of one row of `TWCC_DTYPE`.
const TWCC_ROW: usize = 29;
/// A snapshot is not taken again before this age.
const SNAPSHOT_AGE_US: Micros = 50_000;
/// How long a caller waits for a snapshot before it gets the previous one.
const SNAPSHOT_WAIT: Duration = Duration::from_millis(250);

/// A lock whose holder panicked still guards plain data.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `None` while another thread holds it.
pub fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

/// News for Python.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// From the core, or about a tap's queue.
    Core(Event),
    /// The media thread is gone: nothing will ever be forwarded again.
    Dead,
}

/// Why a command was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The media thread ended or panicked.
    Dead,
    /// Too much waits already.
    Full,
}

/// One kind of snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)] // named after what they hold
pub enum Kind {
    Transports = 0,
    Encodings = 1,
    Sinks = 2,
    Counters = 3,
    Twcc = 4,
}

const KINDS: [Kind; 5] =
    [Kind::Transports, Kind::Encodings, Kind::Sinks, Kind::Counters, Kind::Twcc];

/// Bits of all kinds but TWCC.
const ALL_ROWS: u8 = 0b1111;

#[derive(Default)]
struct Commands {
    queue: Vec<Command>,
    bytes: usize,
}

#[derive(Default)]
struct Answer {
    rows: Vec<u8>,
    taken_us: Micros,
    generation: u64,
}

#[derive(Default)]
struct Answers {
    by_kind: [Answer; 5],
    counters: Vec<(&'static str, u64)>,
}

/// Shared by the media thread and the handle that Python holds.
pub struct Exchange {
    commands: Mutex<Commands>,
    is_signalled: AtomicBool,
    waker: mio::Waker,
    events: Mutex<VecDeque<Notice>>,
    event_fd: OwnedFd,
    taps: TapQueues,
    wanted: AtomicU8,
    answers: Mutex<Answers>,
    answered: Condvar,
    is_dead: AtomicBool,
    is_stopping: AtomicBool,
    started: Instant,
}

impl Exchange {
    /// `waker` wakes the media thread's poll.
    pub fn new(waker: mio::Waker) -> io::Result<Exchange> {
        Ok(Exchange {
            commands: Mutex::default(),
            is_signalled: AtomicBool::new(false),
            waker,
            events: Mutex::default(),
            event_fd: eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?,
            taps: TapQueues::default(),
            wanted: AtomicU8::new(0),
            answers: Mutex::default(),
            answered: Condvar::new(),
            is_dead: AtomicBool::new(false),
            is_stopping: AtomicBool::new(false),
            started: Instant::now(),
        })
    }

    /// The engine's clock.
    pub fn now_us(&self) -> Micros {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(Micros::MAX)
    }

    fn wake(&self) {
        if !self.is_signalled.swap(true, Ordering::AcqRel) {
            // Fails only when the poll is gone, and then nobody is left to wake.
            let _ = self.waker.wake();
        }
    }

    // ---- Python's side -------------------------------------------------------------------------

    /// Queues a command for the media thread. May wait for a lock.
    ///
    /// A budget wakes nobody: the thread's next turn takes it before it sends, and there is one for
    /// every line at once.
    pub fn push_command(&self, command: Command) -> Result<(), Refused> {
        if self.is_dead() {
            return Err(Refused::Dead);
        }
        let size = match &command {
            Command::SendDtls { data, .. } | Command::PushFrame { data, .. } => data.len(),
            _ => 0,
        };
        let is_patient = matches!(command, Command::SetBudget { .. });
        {
            let mut commands = lock(&self.commands);
            // Orders are few and must not be lost for a flood of frames: those have the byte bound.
            let is_full = commands.queue.len() >= MAX_COMMANDS
                || (size > 0 && commands.bytes + size > MAX_COMMAND_BYTES);
            if is_full {
                return Err(Refused::Full);
            }
            commands.bytes += size;
            commands.queue.push(command);
        }
        if !is_patient {
            self.wake();
        }
        Ok(())
    }

    /// Takes all waiting events. May wait for a lock.
    pub fn drain_events(&self) -> VecDeque<Notice> {
        let mut events = lock(&self.events);
        // Emptied under the lock: an event published later raises it again.
        let _ = rustix::io::read(&self.event_fd, &mut [0_u8; 8]);
        mem::take(&mut *events)
    }

    /// Readable while events wait.
    pub fn event_fd(&self) -> BorrowedFd<'_> {
        self.event_fd.as_fd()
    }

    /// Queues of frames; for `add` and `remove`.
    pub fn taps(&self) -> &TapQueues {
        &self.taps
    }

    /// Takes up to `max` frames of a tap. May wait for a lock.
    pub fn drain_tap(&self, tap: TapId, max: usize) -> Vec<TapFrame> {
        let (frames, was_full) = self.taps.drain(tap, max);
        if was_full {
            self.wake();
        }
        frames
    }

    /// Rows of a snapshot at most 50 ms old; of TWCC, everything since the last call.
    pub fn snapshot(&self, kind: Kind) -> Vec<u8> {
        let rows = &mut self.refresh(kind).by_kind[kind as usize].rows;
        if kind == Kind::Twcc { mem::take(rows) } else { rows.clone() }
    }

    /// Counters by name, at most 50 ms old.
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        self.refresh(Kind::Counters).counters.clone()
    }

    /// Waits for the media thread, but not for ever: a thread that does not answer leaves the
    /// caller with the previous rows.
    fn refresh(&self, kind: Kind) -> MutexGuard<'_, Answers> {
        let index = kind as usize;
        let answers = lock(&self.answers);
        let answer = &answers.by_kind[index];
        let is_fresh = answer.generation > 0
            && kind != Kind::Twcc
            && self.now_us() < answer.taken_us + SNAPSHOT_AGE_US;
        if is_fresh || self.is_dead() {
            return answers;
        }
        let seen = answer.generation;
        // Who asks for one kind of rows asks for the others next: one wait serves them all.
        let wanted = if kind == Kind::Twcc { 1 << index } else { ALL_ROWS };
        self.wanted.fetch_or(wanted, Ordering::AcqRel);
        self.wake();
        let is_waiting =
            |answers: &mut Answers| answers.by_kind[index].generation == seen && !self.is_dead();
        let waited = self.answered.wait_timeout_while(answers, SNAPSHOT_WAIT, is_waiting);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Asks the media thread to end after one more turn.
    pub fn stop(&self) {
        self.is_stopping.store(true, Ordering::Release);
        let _ = self.waker.wake();
    }

    // ---- the media thread's side ---------------------------------------------------------------

    /// `stop` was called.
    pub fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Acquire)
    }

    /// The media thread ended or panicked.
    pub fn is_dead(&self) -> bool {
        self.is_dead.load(Ordering::Acquire)
    }

    /// Marks the thread as gone and releases everybody who waits for it.
    pub fn mark_dead(&self, is_reported: bool) {
        self.is_dead.store(true, Ordering::Release);
        // Taken so that no waiter is between its check and its wait.
        drop(lock(&self.answers));
        self.answered.notify_all();
        if is_reported {
            lock(&self.events).push_back(Notice::Dead);
            self.raise();
        }
    }

    fn raise(&self) {
        let _ = rustix::io::write(&self.event_fd, &1_u64.to_ne_bytes());
    }

    /// Commands may wait; costs one load.
    pub fn has_commands(&self) -> bool {
        self.is_signalled.load(Ordering::Acquire)
    }

    /// Swaps the waiting commands with the empty `into`; false = try again soon.
    pub fn take_commands(&self, into: &mut Vec<Command>) -> bool {
        self.is_signalled.store(false, Ordering::Release);
        let Some(mut commands) = try_lock(&self.commands) else {
            return false;
        };
        mem::swap(&mut commands.queue, into);
        commands.bytes = 0;
        true
    }

    /// Hands over `pending`; true = done. Over the bound the newest are dropped and counted.
    pub fn publish_events(&self, pending: &mut Vec<Notice>, dropped: &mut u64) -> bool {
        if pending.is_empty() {
            return true;
        }
        let Some(mut events) = try_lock(&self.events) else {
            return false;
        };
        let was_empty = events.is_empty();
        for notice in pending.drain(..) {
            // DTLS is sent again by its peer; news of the core are not.
            let is_dtls = matches!(notice, Notice::Core(Event::Dtls { .. }));
            if events.len() < if is_dtls { MAX_DTLS_EVENTS } else { MAX_EVENTS } {
                events.push_back(notice);
            } else {
                *dropped += 1;
            }
        }
        if was_empty {
            self.raise();
        }
        true
    }

    /// Answers what was asked; true = nothing is left to answer.
    pub fn answer(&self, core: &mut Core, now: Micros, counters: &mut NetCounters) -> bool {
        if self.wanted.load(Ordering::Acquire) == 0 {
            return true;
        }
        let Some(mut answers) = try_lock(&self.answers) else {
            return false;
        };
        let wanted = self.wanted.swap(0, Ordering::AcqRel);
        for kind in KINDS.into_iter().filter(|kind| wanted & (1 << *kind as u8) != 0) {
            let answers = &mut *answers;
            let answer = &mut answers.by_kind[kind as usize];
            let rows = &mut answer.rows;
            if kind != Kind::Twcc {
                rows.clear();
            }
            match kind {
                Kind::Transports => core.snapshot_transports(now, rows),
                Kind::Encodings => core.snapshot_encodings(now, rows),
                Kind::Sinks => core.snapshot_sinks(now, rows),
                Kind::Twcc => {
                    core.drain_twcc(rows);
                    counters.net_dropped_twcc_rows += drop_oldest_rows(rows);
                }
                Kind::Counters => {
                    answers.counters.clear();
                    answers.counters.extend(core.counters().named().chain(counters.named()));
                }
            }
            answer.taken_us = now;
            answer.generation += 1;
        }
        drop(answers);
        self.answered.notify_all();
        true
    }
}

fn drop_oldest_rows(rows: &mut Vec<u8>) -> u64 {
    let excess = rows.len().saturating_sub(MAX_TWCC_BYTES).div_ceil(TWCC_ROW);
    rows.drain(..(excess * TWCC_ROW).min(rows.len()));
    excess as u64
}

#[cfg(test)]
mod tests;
