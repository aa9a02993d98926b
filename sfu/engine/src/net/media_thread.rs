//! The loop: receive all that waits → commands → timers → flush → events, then wait.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use mio::{Events, Poll, Token};

use super::counters::NetCounters;
use super::exchange::{Exchange, Notice};
use super::gather::{self, Luck};
use super::tap_queues::Fill;
use super::tcp::{FIRST_CONNECTION_TOKEN, TcpPorts};
use super::udp::{ReceiveBuffers, UdpPort};
use crate::api::{Command, Event, Local, Micros, Path, TapFrame, TapId};
use crate::core::{Core, Egress};

/// Token of the waker; sockets follow.
pub const WAKER_TOKEN: Token = Token(0);
/// First token of UDP sockets, then come listeners.
pub const FIRST_SOCKET_TOKEN: usize = 1;
/// Batches taken from one UDP socket before everything is flushed: 4 × 32 slots, each up to 64
/// datagrams with GRO. More would delay what is already here.
const RECEIVE_ROUNDS: usize = 4;
/// Longest wait; bounds what a lost wake-up could cost.
const MAX_WAIT_US: Micros = 1_000_000;
/// A wait shorter than this was none: something had come meanwhile.
const IDLE_US: Micros = 20;
/// Wait after a lock was found taken, or after a timer that stays due.
const RETRY_US: Micros = 1_000;

/// Everything one media thread owns.
pub struct MediaThread {
    pub(super) poll: Poll,
    pub(super) udp: Vec<UdpPort>,
    pub(super) tcp: TcpPorts,
    pub(super) exchange: Arc<Exchange>,
    pub(super) core: Core,
    pub(super) state: LoopState,
}

/// What lives from turn to turn beside the sockets.
#[derive(Default)]
pub struct LoopState {
    counters: NetCounters,
    intake: Intake,
    notices: Vec<Notice>,
    /// Taps that may hold frames in the core.
    ready_taps: Vec<TapId>,
    tap_batch: Vec<TapFrame>,
    needs_retry: bool,
    /// Nothing waited when this turn began.
    was_idle: bool,
    luck: Luck,
}

/// What the core is given, in the right order and at times that never run backwards.
#[derive(Default)]
struct Intake {
    commands: Vec<Command>,
    core_now: Micros,
    /// A lock was taken: orders may still wait.
    is_busy: bool,
}

impl Intake {
    /// The latest time the core has seen, or `at`: also kernel receive times only go forward.
    fn advance(&mut self, at: Micros) -> Micros {
        self.core_now = self.core_now.max(at);
        self.core_now
    }

    fn apply_commands(&mut self, core: &mut Core, exchange: &Exchange, now: Micros) {
        self.is_busy |= !exchange.take_commands(&mut self.commands);
        let now = self.advance(now);
        for command in self.commands.drain(..) {
            core.apply(now, command);
        }
    }

    /// Orders given before a datagram was sent come before it: the peer may be answering them.
    fn handle_datagram(
        &mut self,
        core: &mut Core,
        exchange: &Exchange,
        arrived: Micros,
        path: Path,
        data: &mut [u8],
    ) {
        if exchange.has_commands() {
            self.apply_commands(core, exchange, arrived);
        }
        core.handle_datagram(self.advance(arrived), path, data);
    }
}

/// Where the core's datagrams go.
struct Wire<'a> {
    udp: &'a mut [UdpPort],
    tcp: &'a mut TcpPorts,
    counters: &'a mut NetCounters,
    now: Micros,
}

impl Egress for Wire<'_> {
    fn send(&mut self, path: Path, data: &[u8], segment: Option<usize>) {
        match path.local {
            Local::Udp(index) => {
                if let Some(port) = self.udp.get_mut(usize::from(index)) {
                    port.send(self.counters, path.remote, data, segment);
                }
            }
            Local::Tcp(id) => self.tcp.send(self.now, self.counters, id, data, segment),
        }
    }
}

impl MediaThread {
    /// Runs until stopped. A panic marks the engine dead instead of leaving a silent process.
    pub fn run(mut self) {
        let exchange = Arc::clone(&self.exchange);
        // The state is never looked at again after a panic, so it need not be consistent.
        let outcome = catch_unwind(AssertUnwindSafe(|| self.run_loop()));
        exchange.mark_dead(!matches!(outcome, Ok(Ok(()))));
    }

    fn run_loop(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        let mut buffers = ReceiveBuffers::new();
        while !self.exchange.is_stopping() {
            self.wait(&mut events)?;
            self.turn(&mut buffers);
        }
        // Orders given before the end, such as DTLS close alerts, still leave.
        self.turn(&mut buffers);
        Ok(())
    }

    fn wait(&mut self, events: &mut Events) -> io::Result<()> {
        let now = self.exchange.now_us();
        let timeout = Duration::from_micros(self.wait_us(now));
        match self.poll.poll(events, Some(timeout)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        self.state.was_idle = self.exchange.now_us() > now + IDLE_US;
        for event in events.iter() {
            let Some(index) = event.token().0.checked_sub(FIRST_SOCKET_TOKEN) else {
                continue;
            };
            if let Some(port) = self.udp.get_mut(index) {
                port.is_readable = true;
            } else if event.token().0 < FIRST_CONNECTION_TOKEN {
                self.tcp.on_acceptable(index - self.udp.len());
            } else {
                let is_readable = event.is_readable() || event.is_read_closed() || event.is_error();
                self.tcp.on_ready(event.token(), is_readable, event.is_writable());
            }
        }
        Ok(())
    }

    fn wait_us(&self, now: Micros) -> Micros {
        if self.tcp.has_work() || self.udp.iter().any(|port| port.is_readable) {
            return 0;
        }
        let due = self.core.next_timeout().min(self.tcp.next_sweep());
        // A timer that is still due after `handle_timeout` must not become a busy loop.
        let wait = due
            .saturating_sub(now)
            .clamp(if due <= self.state.intake.core_now { RETRY_US } else { 0 }, MAX_WAIT_US);
        if self.state.needs_retry { wait.min(RETRY_US) } else { wait }
    }

    fn turn(&mut self, buffers: &mut ReceiveBuffers) {
        self.state.counters.net_loops += 1;
        self.state.needs_retry = false;
        self.state.intake.is_busy = false;
        self.receive(buffers);
        if self.state.was_idle {
            self.gather(buffers);
        }
        let now = self.exchange.now_us();
        self.state.intake.apply_commands(&mut self.core, &self.exchange, now);
        let now = self.state.intake.advance(now);
        if self.core.next_timeout() <= now {
            self.core.handle_timeout(now);
        }
        self.tcp.sweep(now, &mut self.state.counters);
        self.flush(now);
        self.report(now);
    }

    fn receive(&mut self, buffers: &mut ReceiveBuffers) {
        let (core, exchange) = (&mut self.core, &*self.exchange);
        let (intake, counters) = (&mut self.state.intake, &mut self.state.counters);
        for (index, port) in self.udp.iter_mut().enumerate() {
            let local = Local::Udp(index as u8);
            for _ in 0..RECEIVE_ROUNDS {
                if !port.is_readable {
                    break;
                }
                let now = exchange.now_us();
                port.receive(buffers, counters, |age, remote, data| {
                    // When the kernel got it, not when we had time for it: TWCC depends on it.
                    let arrived = now.saturating_sub(age.as_micros() as Micros);
                    intake.handle_datagram(core, exchange, arrived, Path { local, remote }, data);
                });
            }
        }
        let now = exchange.now_us();
        self.tcp.accept(now, counters);
        self.tcp.receive(now, counters, |id, remote, data| {
            let local = Local::Tcp(id);
            intake.handle_datagram(core, exchange, now, Path { local, remote }, data);
        });
    }

    /// Waits for the rest of a frame that many get, as long as that pays.
    fn gather(&mut self, buffers: &mut ReceiveBuffers) {
        for _ in 0..gather::ROUNDS {
            let is_worth_it = self.core.mid_frame_sinks() >= gather::MIN_SINKS;
            if !is_worth_it || !self.state.luck.may_wait() {
                return;
            }
            std::thread::sleep(gather::PAUSE);
            // Packets of media: others of the many who get it send feedback all the time.
            let before = self.core.counters().received_packets;
            self.udp.iter_mut().for_each(|port| port.is_readable = true);
            self.receive(buffers);
            let has_paid = self.core.counters().received_packets > before;
            self.state.luck.note(has_paid);
            self.state.counters.net_gather_waits += 1;
            self.state.counters.net_gather_hits += u64::from(has_paid);
            if !has_paid {
                return;
            }
        }
    }

    fn flush(&mut self, now: Micros) {
        let counters = &mut self.state.counters;
        let mut wire = Wire { udp: &mut self.udp, tcp: &mut self.tcp, counters, now };
        self.core.flush(now, &mut wire);
        self.tcp.write_dirty();
        while let Some(id) = self.core.poll_given_up() {
            self.tcp.close(id);
        }
        while let Some(id) = self.tcp.poll_closed() {
            self.core.handle_closed(now, Local::Tcp(id));
        }
    }

    fn report(&mut self, now: Micros) {
        let state = &mut self.state;
        while let Some(event) = self.core.poll_event() {
            match event {
                Event::TapReady { tap } if state.ready_taps.contains(&tap) => {}
                Event::TapReady { tap } => state.ready_taps.push(tap),
                event => state.notices.push(Notice::Core(event)),
            }
        }
        let (core, exchange) = (&mut self.core, &self.exchange);
        let (batch, notices, needs_retry) =
            (&mut state.tap_batch, &mut state.notices, &mut state.needs_retry);
        state.ready_taps.retain(|&tap| {
            let mut is_filled = false;
            let drain = |max, into: &mut Vec<TapFrame>| core.drain_tap(tap, max, into);
            let fill = exchange.taps().fill(tap, batch, &mut is_filled, drain);
            if is_filled {
                notices.push(Notice::Core(Event::TapReady { tap }));
            }
            *needs_retry |= fill == Fill::Busy;
            fill != Fill::Done
        });
        state.counters.net_tcp_open = self.tcp.count() as u64;
        let is_published =
            exchange.publish_events(&mut state.notices, &mut state.counters.net_dropped_events);
        let is_answered = exchange.answer(core, now, &mut state.counters);
        state.needs_retry |= !is_published || !is_answered || state.intake.is_busy;
    }
}
