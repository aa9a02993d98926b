//! ICE-TCP, passive side (RFC 6544): accepted connections that carry framed datagrams.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;

use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::counters::NetCounters;
use super::framing::{FrameReader, MAX_FRAME, ReadOutcome, SCRATCH_BYTES, SendQueue};
use crate::api::Micros;

/// Open connections at most.
const MAX_CONNECTIONS: usize = 4096;
/// Of those, ones that have not been answered; over it the oldest of them is closed.
const MAX_UNPROVEN: usize = 256;
/// An unproven connection may hold this much of an unfinished frame; a proven one a whole frame.
const MAX_UNPROVEN_BYTES: usize = 16 * 1024;
/// Time to become proven.
const PROOF_US: Micros = 10_000_000;
/// Silence after which a proven connection ends. ICE consent (RFC 7675) makes peers check every 5 s.
const IDLE_US: Micros = 45_000_000;
/// How often the two above are looked at.
const SWEEP_US: Micros = 1_000_000;
/// Kernel send buffer: what sits there cannot be dropped any more, so it is delay.
const SEND_BUFFER: usize = 128 * 1024;
/// Message type of a binding error response (RFC 8489 §5).
const STUN_ERROR: [u8; 2] = [0x01, 0x11];
/// First token of accepted connections; below are the sockets bound at start.
pub const FIRST_CONNECTION_TOKEN: usize = 1 << 16;

struct Connection {
    stream: mio::net::TcpStream,
    remote: SocketAddr,
    reader: FrameReader,
    queue: SendQueue,
    accepted_us: Micros,
    received_us: Micros,
    /// The core took its check: it has shown that it knows ICE credentials, and is one of at most
    /// eight paths of its transport.
    is_proven: bool,
    is_readable: bool,
    is_dirty: bool,
}

/// All listeners and connections of a thread.
pub struct TcpPorts {
    listeners: Vec<(mio::net::TcpListener, bool)>,
    connections: HashMap<u32, Connection>,
    unproven: usize,
    next_id: u32,
    readable: Vec<u32>,
    dirty: Vec<u32>,
    closed: Vec<u32>,
    scratch: Vec<u8>,
    sweep_us: Micros,
    registry: Registry,
}

/// Binds a listener.
pub fn listen(addr: SocketAddr) -> io::Result<mio::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(256)?;
    Ok(mio::net::TcpListener::from_std(socket.into()))
}

impl TcpPorts {
    /// Registers `listeners` with tokens from `first_token` on.
    pub fn new(
        mut listeners: Vec<mio::net::TcpListener>,
        registry: Registry,
        first_token: usize,
    ) -> io::Result<TcpPorts> {
        for (index, listener) in listeners.iter_mut().enumerate() {
            registry.register(listener, Token(first_token + index), Interest::READABLE)?;
        }
        Ok(TcpPorts {
            listeners: listeners.into_iter().map(|listener| (listener, true)).collect(),
            connections: HashMap::new(),
            unproven: 0,
            next_id: 1,
            readable: Vec::new(),
            dirty: Vec::new(),
            closed: Vec::new(),
            scratch: vec![0; SCRATCH_BYTES],
            sweep_us: 0,
            registry,
        })
    }

    /// A listener has connections waiting.
    pub fn on_acceptable(&mut self, index: usize) {
        self.listeners[index].1 = true;
    }

    /// A connection can be read or written.
    pub fn on_ready(&mut self, token: Token, is_readable: bool, is_writable: bool) {
        let id = (token.0 - FIRST_CONNECTION_TOKEN) as u32;
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        if is_readable && !connection.is_readable {
            connection.is_readable = true;
            self.readable.push(id);
        }
        if is_writable && !connection.queue.is_empty() && !connection.is_dirty {
            connection.is_dirty = true;
            self.dirty.push(id);
        }
    }

    /// Something is known to wait without another readiness event.
    pub fn has_work(&self) -> bool {
        !self.readable.is_empty()
            || !self.closed.is_empty()
            || self.listeners.iter().any(|(_, is_acceptable)| *is_acceptable)
    }

    /// When `sweep` is due; `Micros::MAX` without connections.
    pub fn next_sweep(&self) -> Micros {
        if self.connections.is_empty() { Micros::MAX } else { self.sweep_us }
    }

    /// Accepts what waits, within the bounds.
    pub fn accept(&mut self, now: Micros, counters: &mut NetCounters) {
        for index in 0..self.listeners.len() {
            let mut budget = 64;
            while self.listeners[index].1 && budget > 0 {
                budget -= 1;
                match self.listeners[index].0.accept() {
                    Ok((stream, remote)) => self.admit(now, stream, remote, counters),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        self.listeners[index].1 = false;
                    }
                    // ECONNABORTED concerns one connection; EMFILE waits for the next event or
                    // sweep, as trying again at once would spin.
                    Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                    Err(_) => {
                        counters.net_tcp_refused += 1;
                        self.listeners[index].1 = false;
                    }
                }
            }
        }
    }

    fn admit(
        &mut self,
        now: Micros,
        mut stream: mio::net::TcpStream,
        remote: SocketAddr,
        counters: &mut NetCounters,
    ) {
        if self.connections.len() >= MAX_CONNECTIONS {
            counters.net_tcp_refused += 1;
            return;
        }
        if self.unproven >= MAX_UNPROVEN {
            // A flood must not lock newcomers out for the whole proof time: the oldest gives way.
            let unproven = self.connections.iter().filter(|(_, c)| !c.is_proven);
            if let Some(oldest) = unproven.map(|(id, _)| *id).min() {
                counters.net_tcp_refused += 1;
                self.close(oldest);
            }
        }
        let _ = stream.set_nodelay(true);
        let _ = SockRef::from(&stream).set_send_buffer_size(SEND_BUFFER);
        let id = self.next_id;
        let token = Token(FIRST_CONNECTION_TOKEN + id as usize);
        if self
            .registry
            .register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)
            .is_err()
        {
            counters.net_tcp_refused += 1;
            return;
        }
        self.next_id += 1;
        self.unproven += 1;
        counters.net_tcp_accepted += 1;
        let connection = Connection {
            stream,
            remote,
            reader: FrameReader::default(),
            queue: SendQueue::default(),
            accepted_us: now,
            received_us: now,
            is_proven: false,
            is_readable: false,
            is_dirty: false,
        };
        self.connections.insert(id, connection);
    }

    /// Reads every connection that has something, calling `on_datagram(id, remote, datagram)`.
    pub fn receive(
        &mut self,
        now: Micros,
        counters: &mut NetCounters,
        mut on_datagram: impl FnMut(u32, SocketAddr, &mut [u8]),
    ) {
        for id in std::mem::take(&mut self.readable) {
            let Some(connection) = self.connections.get_mut(&id) else {
                continue;
            };
            connection.received_us = now;
            let Connection { stream, remote, reader, is_proven, .. } = connection;
            let most = if *is_proven { MAX_FRAME + 2 } else { MAX_UNPROVEN_BYTES };
            let outcome =
                reader.read(stream, &mut self.scratch, most, |data| on_datagram(id, *remote, data));
            match outcome {
                ReadOutcome::Drained => connection.is_readable = false,
                ReadOutcome::More => self.readable.push(id),
                ReadOutcome::Garbage => {
                    counters.net_tcp_garbage += 1;
                    self.close(id);
                }
                ReadOutcome::Closed => self.close(id),
            }
        }
    }

    /// Queues a datagram or bundle for `id`; written by `write_dirty`.
    pub fn send(
        &mut self,
        now: Micros,
        counters: &mut NetCounters,
        id: u32,
        data: &[u8],
        segment: Option<usize>,
    ) {
        let size = segment.filter(|size| *size > 0).unwrap_or(data.len()).max(1);
        let Some(connection) = self.connections.get_mut(&id) else {
            counters.net_tcp_dropped_closed += data.len().div_ceil(size) as u64;
            return;
        };
        // An error is an answer, but opens no path: the core would never give it up.
        if !connection.is_proven && !data.starts_with(&STUN_ERROR) {
            connection.is_proven = true;
            self.unproven -= 1;
        }
        for datagram in data.chunks(size) {
            if !connection.queue.push(now, datagram) {
                counters.net_tcp_dropped_full += 1;
            }
        }
        if !connection.is_dirty {
            connection.is_dirty = true;
            self.dirty.push(id);
        }
    }

    /// Writes what was queued, as far as the kernel takes it.
    pub fn write_dirty(&mut self) {
        while let Some(id) = self.dirty.pop() {
            let Some(connection) = self.connections.get_mut(&id) else {
                continue;
            };
            connection.is_dirty = false;
            if connection.queue.write_to(&mut connection.stream).is_err() {
                self.close(id);
            }
        }
    }

    /// Closes what is unproven or silent for too long.
    pub fn sweep(&mut self, now: Micros, counters: &mut NetCounters) {
        if now < self.sweep_us {
            return;
        }
        self.sweep_us = now + SWEEP_US;
        // Accepting may have stopped for want of file descriptors.
        self.listeners.iter_mut().for_each(|(_, is_acceptable)| *is_acceptable = true);
        let is_over = |c: &Connection| {
            now > c.received_us + IDLE_US || (!c.is_proven && now > c.accepted_us + PROOF_US)
        };
        let over: Vec<u32> =
            self.connections.iter().filter(|(_, c)| is_over(c)).map(|(id, _)| *id).collect();
        counters.net_tcp_idle += over.len() as u64;
        for id in over {
            self.close(id);
        }
    }

    /// Connections that ended since the last call.
    pub fn poll_closed(&mut self) -> Option<u32> {
        self.closed.pop()
    }

    /// Open connections.
    pub fn count(&self) -> usize {
        self.connections.len()
    }

    /// Ends a connection; nothing happens to one that has ended.
    pub fn close(&mut self, id: u32) {
        if let Some(mut connection) = self.connections.remove(&id) {
            let _ = self.registry.deregister(&mut connection.stream);
            self.unproven -= usize::from(!connection.is_proven);
            self.closed.push(id);
        }
    }
}
