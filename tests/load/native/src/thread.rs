//! The one thread: sockets, timers, orders from Python.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aislecast_engine::wire::srtp::{SrtpReceiver, SrtpSender};
use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token, Waker};
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::{ReceiveTimestampns, UdpGroSegment};
use rustix::event::{EventfdFlags, eventfd};

use crate::Event;
use crate::pacing::Pacing;
use crate::peer::Peer;
use crate::publish::Outgoing;
use crate::stats::{SentTimes, Stats};

const WAKE: Token = Token(0);
/// Pause before every look at the sockets. Over loopback a server pays for waking whoever waits for
/// its packet, which no server on a network does; asleep, we are not waiting. Delays do not suffer:
/// the kernel stamps arrivals.
const NAP: Duration = Duration::from_micros(500);

/// A bundle that the kernel hands over in one piece is at most this long.
const RECEIVE_BYTES: usize = 65_536;

/// Orders from Python.
pub enum Command {
    AddPeer {
        peer: u32,
        server: SocketAddr,
        username: String,
        local_pwd: String,
        remote_pwd: String,
    },
    SendDtls {
        peer: u32,
        data: Vec<u8>,
    },
    SetSrtp {
        peer: u32,
        keys: Box<(SrtpReceiver, SrtpSender)>,
    },
    SetFeedback {
        peer: u32,
        twcc_id: u8,
    },
    Publish {
        peer: u32,
        track: Box<Outgoing>,
    },
    TakeStats,
    Stop,
}

/// Microseconds since the start, comparable with the kernel's receive timestamps.
#[derive(Clone, Copy)]
pub struct Clock {
    started: Instant,
    started_wall: SystemTime,
}

impl Clock {
    fn new() -> Self {
        Self { started: Instant::now(), started_wall: SystemTime::now() }
    }

    /// Now.
    pub fn now_us(&self) -> u64 {
        self.started.elapsed().as_micros() as u64
    }

    /// A wall-clock time of the kernel on this clock.
    pub fn us_at_wall(&self, wall: Duration) -> u64 {
        let started = self.started_wall.duration_since(UNIX_EPOCH).unwrap_or_default();
        wall.saturating_sub(started).as_micros() as u64
    }
}

/// What both sides of the thread see.
pub struct Shared {
    pub commands: Mutex<Vec<Command>>,
    pub events: Mutex<Vec<Event>>,
    pub event_fd: OwnedFd,
    pub waker: Waker,
    pub clock: Clock,
    taken: Mutex<Option<Stats>>,
    taken_ready: Condvar,
}

impl Shared {
    pub fn new() -> std::io::Result<(Self, Poll)> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKE)?;
        let event_fd = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        let shared = Self {
            commands: Mutex::default(),
            events: Mutex::default(),
            event_fd,
            waker,
            clock: Clock::new(),
            taken: Mutex::default(),
            taken_ready: Condvar::new(),
        };
        Ok((shared, poll))
    }

    /// Asks the thread for its sums and waits for them.
    pub fn take_stats(&self, order: &dyn Fn(Command)) -> Stats {
        order(Command::TakeStats);
        let taken = self.taken.lock().expect("no holder panics");
        let (mut taken, _) = self
            .taken_ready
            .wait_timeout_while(taken, Duration::from_secs(5), |taken| taken.is_none())
            .expect("no holder panics");
        taken.take().unwrap_or_default()
    }
}

/// Everything the peers share on the thread.
pub struct Context {
    pub now_us: u64,
    pub clock: Clock,
    /// How publishers let packets out.
    pub pacing: Pacing,
    pub stats: Stats,
    pub times: SentTimes,
    pub events: Vec<Event>,
    /// Where peers receive, one after the other.
    pub buffer: Vec<u8>,
}

/// Runs until told to stop.
pub fn run(shared: &Shared, mut poll: Poll, pacing: Pacing) {
    let mut peers: HashMap<u32, Peer> = HashMap::new();
    let mut events = Events::with_capacity(1024);
    let mut context = Context {
        now_us: 0,
        clock: shared.clock,
        pacing,
        stats: Stats::default(),
        times: SentTimes::default(),
        events: Vec::new(),
        buffer: vec![0; RECEIVE_BYTES],
    };
    let mut due_us = 0;
    loop {
        std::thread::sleep(NAP);
        let wait = Duration::from_micros(
            due_us.clamp(context.now_us, context.now_us + 100_000) - context.now_us,
        );
        // An interrupted wait is an early one.
        let _ = poll.poll(&mut events, Some(wait));
        context.now_us = shared.clock.now_us();
        for event in &events {
            if let Some(peer) = peers.get_mut(&(event.token().0 as u32)) {
                peer.receive(&mut context);
            }
        }
        let commands = std::mem::take(&mut *shared.commands.lock().expect("no holder panics"));
        for command in commands {
            if matches!(command, Command::Stop) {
                return;
            }
            apply(command, shared, &poll, &mut peers, &mut context);
        }
        context.now_us = shared.clock.now_us();
        due_us = u64::MAX;
        for peer in peers.values_mut() {
            due_us = due_us.min(peer.run_timers(&mut context));
        }
        publish_events(shared, &mut context);
    }
}

fn apply(
    command: Command,
    shared: &Shared,
    poll: &Poll,
    peers: &mut HashMap<u32, Peer>,
    context: &mut Context,
) {
    match command {
        Command::AddPeer { peer, server, username, local_pwd, remote_pwd } => {
            let local = SocketAddr::from(([127, 0, 0, 1], 0));
            let Ok(mut socket) = UdpSocket::bind(local).and_then(|s| s.connect(server).map(|()| s))
            else {
                return;
            };
            let timed = setsockopt(&socket, ReceiveTimestampns, &true).is_ok();
            // Over loopback whoever sends a bundle would cut it up and queue its pieces here, work
            // of the receiving machine. Taken whole it costs the server what it costs on a network.
            // A kernel without it cuts, as before.
            let _ = setsockopt(&socket, UdpGroSegment, &true);
            let token = Token(peer as usize);
            let watched = poll.registry().register(&mut socket, token, Interest::READABLE);
            if timed && watched.is_ok() {
                peers.insert(peer, Peer::new(peer, socket, username, local_pwd, remote_pwd));
            }
        }
        Command::SendDtls { peer, data } => {
            if let Some(peer) = peers.get(&peer) {
                peer.send(&data);
            }
        }
        Command::SetSrtp { peer, keys } => {
            if let Some(peer) = peers.get_mut(&peer) {
                peer.secure(*keys);
            }
        }
        Command::SetFeedback { peer, twcc_id } => {
            if let Some(peer) = peers.get_mut(&peer) {
                peer.set_feedback(twcc_id);
            }
        }
        Command::Publish { peer, track } => {
            if let Some(peer) = peers.get_mut(&peer) {
                peer.publish(*track);
            }
        }
        Command::TakeStats => {
            let mut stats = std::mem::take(&mut context.stats);
            for peer in peers.values_mut() {
                stats.lost += peer.take_lost();
            }
            *shared.taken.lock().expect("no holder panics") = Some(stats);
            shared.taken_ready.notify_all();
        }
        Command::Stop => {}
    }
}

fn publish_events(shared: &Shared, context: &mut Context) {
    if context.events.is_empty() {
        return;
    }
    shared.events.lock().expect("no holder panics").append(&mut context.events);
    // A full counter is already readable.
    let _ = rustix::io::write(&shared.event_fd, &1u64.to_ne_bytes());
}
