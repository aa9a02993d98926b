//! Sockets around the core: one media thread, its UDP and ICE-TCP ports, and what Python shares
//! with it. Linux only (eventfd, GSO).

mod counters;
mod exchange;
pub mod framing;
mod gather;
mod media_thread;
mod reply_source;
mod tap_queues;
mod tcp;
mod udp;

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use mio::{Poll, Token, Waker};

pub use counters::NetCounters;
pub use exchange::{Exchange, Kind, Notice, Refused};

use crate::core::Core;
use media_thread::{FIRST_SOCKET_TOKEN, LoopState, MediaThread, WAKER_TOKEN};
use tcp::TcpPorts;
use udp::UdpPort;

/// Bound sockets of each kind: `Local::Udp` has a byte for the index.
const MAX_SOCKETS: usize = 255;

/// A running media thread. Dropping it ends the thread.
pub struct Engine {
    exchange: Arc<Exchange>,
    thread: Mutex<Option<JoinHandle<()>>>,
    udp: Vec<SocketAddr>,
    tcp: Vec<SocketAddr>,
    inodes: Vec<u64>,
}

impl Engine {
    /// Binds and starts. Port 0 picks one; further entries with port 0 use the first one's port
    /// where it is free.
    pub fn start(udp: &[SocketAddr], tcp: &[SocketAddr]) -> io::Result<Engine> {
        if udp.len() > MAX_SOCKETS || tcp.len() > MAX_SOCKETS {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many sockets"));
        }
        let mut ports = bind_all(udp, UdpPort::bind, |port| Ok(port.local()))?;
        let listeners = bind_all(tcp, tcp::listen, mio::net::TcpListener::local_addr)?;
        let poll = Poll::new()?;
        for (index, port) in ports.iter_mut().enumerate() {
            port.register(poll.registry(), Token(FIRST_SOCKET_TOKEN + index))?;
        }
        let exchange = Arc::new(Exchange::new(Waker::new(poll.registry(), WAKER_TOKEN)?)?);
        let udp = ports.iter().map(UdpPort::local).collect();
        let inodes = ports.iter().filter_map(UdpPort::inode).collect();
        let tcp =
            listeners.iter().map(mio::net::TcpListener::local_addr).collect::<Result<_, _>>()?;
        let registry = poll.registry().try_clone()?;
        let tcp_ports = TcpPorts::new(listeners, registry, FIRST_SOCKET_TOKEN + ports.len())?;
        // The standard library's hash keys are the system's randomness.
        let seed = RandomState::new().build_hasher().finish();
        let shared = Arc::clone(&exchange);
        let thread =
            std::thread::Builder::new().name("aislecast-media".into()).spawn(move || {
                MediaThread {
                    poll,
                    udp: ports,
                    tcp: tcp_ports,
                    exchange: shared,
                    core: Core::new(seed),
                    state: LoopState::default(),
                }
                .run();
            })?;
        Ok(Engine { exchange, thread: Mutex::new(Some(thread)), udp, tcp, inodes })
    }

    /// What is shared with the media thread.
    pub fn exchange(&self) -> &Exchange {
        &self.exchange
    }

    /// Where the UDP sockets are bound, in the order given.
    pub fn udp(&self) -> &[SocketAddr] {
        &self.udp
    }

    /// Where the listeners are bound, in the order given.
    pub fn tcp(&self) -> &[SocketAddr] {
        &self.tcp
    }

    /// Readable while events wait.
    pub fn event_fd(&self) -> RawFd {
        self.exchange.event_fd().as_raw_fd()
    }

    /// Counters of the core, the sockets and the kernel, by name. May wait.
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        let mut counters = self.exchange.counters();
        counters.push(("net_udp_kernel_drops", udp::kernel_drops(&self.inodes)));
        counters
    }

    /// Ends the thread after one more turn and waits for it; the second call does nothing.
    pub fn close(&self) {
        self.exchange.stop();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panic has been reported as `Notice::Dead`.
            let _ = thread.join();
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.close();
    }
}

fn bind_all<T>(
    wanted: &[SocketAddr],
    bind: impl Fn(SocketAddr) -> io::Result<T>,
    local: impl Fn(&T) -> io::Result<SocketAddr>,
) -> io::Result<Vec<T>> {
    let mut bound: Vec<T> = Vec::new();
    for &addr in wanted {
        let context = |error: io::Error| io::Error::new(error.kind(), format!("{addr}: {error}"));
        let first_port =
            bound.first().and_then(|first| local(first).ok()).map(|first| first.port());
        let same = first_port
            .filter(|_| addr.port() == 0)
            .and_then(|port| bind(SocketAddr::new(addr.ip(), port)).ok());
        bound.push(match same {
            Some(socket) => socket,
            None => bind(addr).map_err(context)?,
        });
    }
    Ok(bound)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::time::Duration;

    use super::*;
    use crate::api::{Command, TransportId};
    use crate::wire::stun::{BindingRequest, Carried, IceRole, StunKey, write_binding_request};

    fn addrs(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn all_entries_share_the_first_port() {
        let both = addrs(&["127.0.0.1:0", "[::1]:0"]);
        let engine = Engine::start(&both, &both).unwrap();
        assert_ne!(engine.udp()[0].port(), 0);
        assert_eq!(engine.udp()[0].port(), engine.udp()[1].port());
        assert_eq!(engine.tcp()[0].port(), engine.tcp()[1].port());
    }

    #[test]
    fn a_taken_port_is_an_error_with_its_address() {
        let engine = Engine::start(&addrs(&["127.0.0.1:0"]), &[]).unwrap();
        let error = Engine::start(engine.udp(), &[]).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(error.to_string().contains("127.0.0.1"));
    }

    #[test]
    fn counters_answer_and_close_is_repeatable() {
        let engine = Engine::start(&addrs(&["127.0.0.1:0"]), &[]).unwrap();
        assert!(engine.counters().iter().any(|(name, _)| *name == "net_loops"));
        engine.close();
        engine.close();
        assert!(engine.exchange().is_dead());
        assert!(engine.exchange().drain_events().is_empty());
        // A snapshot of a dead engine does not wait.
        engine.exchange().snapshot(Kind::Sinks);
    }

    /// A framed check (RFC 4571) that nominates its path.
    fn framed_check(number: u8) -> Vec<u8> {
        let request = BindingRequest {
            transaction_id: [number; 12],
            username: "ufrag:remote",
            priority: 1,
            role: IceRole::Controlling(7),
            is_use_candidate: true,
            carried: Carried::default(),
        };
        let mut check = [0; 256];
        let key = StunKey::new(b"password");
        let len = write_binding_request(&mut check, &request, &key).unwrap();
        [&(len as u16).to_be_bytes(), &check[..len]].concat()
    }

    #[test]
    fn the_oldest_of_too_many_connections_of_a_peer_is_closed() {
        let engine = Engine::start(&addrs(&["127.0.0.1:0"]), &addrs(&["127.0.0.1:0"])).unwrap();
        let (local_ufrag, local_pwd) = ("ufrag".to_owned(), "password".to_owned());
        let transport = TransportId(1);
        let order = Command::AddTransport { transport, local_ufrag, local_pwd };
        engine.exchange().push_command(order).unwrap();
        let mut streams: Vec<TcpStream> = Vec::new();
        for number in 1..=9 {
            let mut stream = TcpStream::connect(engine.tcp()[0]).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            stream.write_all(&framed_check(number)).unwrap();
            assert!(stream.read(&mut [0; 256]).unwrap() > 0, "answered");
            streams.push(stream);
        }
        assert_eq!(streams[0].read(&mut [0; 256]).unwrap(), 0, "closed");
        streams[1].write_all(&framed_check(10)).unwrap();
        assert!(streams[1].read(&mut [0; 256]).unwrap() > 0, "the others stay");
    }
}
