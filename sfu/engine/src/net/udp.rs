//! UDP sockets: batches in (recvmmsg, GRO), bundles out (GSO with fall-back).

use std::collections::HashSet;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mio::{Interest, Registry, Token};
use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use rustix::net::sockopt;
use socket2::{Domain, Protocol, Socket, Type};

use super::counters::NetCounters;
use super::reply_source::ReplySource;

/// Asked of the kernel in both directions; a burst of 20 ms at 1 Gb/s is 2.5 MB.
const SOCKET_BUFFER: usize = 4 * 1024 * 1024;
/// Largest datagram that GRO hands over in one piece.
const RECEIVE_SLOT: usize = 65_536;
/// Larger segments never use GSO: above the MTU of the link the kernel answers EINVAL.
const MAX_GSO_SEGMENT: usize = 1_400;
/// Segments that fit every link: the least MTU of IPv6 without its header and that of UDP.
const SAFE_GSO_SEGMENT: usize = 1_232;
/// Addresses behind narrow links that are remembered; over it they are found out anew.
const MAX_NARROW: usize = 1_024;
/// A kernel receive time older than this is a stepped wall clock, not a queue.
const MAX_KERNEL_AGE: Duration = Duration::from_millis(500);

/// Receive buffers shared by all sockets of a thread.
pub struct ReceiveBuffers {
    slots: Vec<u8>,
    meta: [RecvMeta; BATCH_SIZE],
}

impl ReceiveBuffers {
    /// 2 MB, touched only as far as used.
    pub fn new() -> ReceiveBuffers {
        ReceiveBuffers {
            slots: vec![0; BATCH_SIZE * RECEIVE_SLOT],
            meta: [RecvMeta::default(); BATCH_SIZE],
        }
    }
}

/// One bound socket.
pub struct UdpPort {
    socket: mio::net::UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
    /// Of sockets bound to all addresses.
    replies: Option<ReplySource>,
    /// Addresses whose link took no segments above the safe size.
    narrow: HashSet<IpAddr>,
    /// Readiness is edge-triggered: remembered until a read finds nothing.
    pub is_readable: bool,
}

impl UdpPort {
    /// Binds and registers.
    pub fn bind(addr: SocketAddr) -> io::Result<UdpPort> {
        let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
        if addr.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        enlarge_buffers(&socket);
        socket.bind(&addr.into())?;
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        if addr.is_ipv4() {
            allow_fragments(&socket);
        }
        let socket = mio::net::UdpSocket::from_std(socket.into());
        let local = socket.local_addr()?;
        let replies = local.ip().is_unspecified().then(ReplySource::default);
        Ok(UdpPort { socket, state, local, replies, narrow: HashSet::new(), is_readable: true })
    }

    /// Where it is bound.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Adds it to a poll.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.socket, token, Interest::READABLE)
    }

    /// Inode of the socket, under which `/proc/net/udp` lists its drops.
    pub fn inode(&self) -> Option<u64> {
        use std::os::fd::AsRawFd;
        use std::os::unix::fs::MetadataExt;
        let path = format!("/proc/self/fd/{}", self.socket.as_raw_fd());
        std::fs::metadata(path).ok().map(|meta| meta.ino())
    }

    /// Receives one batch and calls `on_datagram(age, remote, datagram)` for each, `age` being the
    /// time it spent in the kernel. Returns false when nothing was there.
    pub fn receive(
        &mut self,
        buffers: &mut ReceiveBuffers,
        counters: &mut NetCounters,
        mut on_datagram: impl FnMut(Duration, SocketAddr, &mut [u8]),
    ) -> bool {
        let mut chunks = buffers.slots.chunks_mut(RECEIVE_SLOT);
        let mut slices: [IoSliceMut; BATCH_SIZE] = std::array::from_fn(|_| {
            IoSliceMut::new(chunks.next().expect("one slot for each of the batch"))
        });
        let received =
            self.state.recv(UdpSockRef::from(&self.socket), &mut slices, &mut buffers.meta);
        let count = match received {
            Ok(count) => count,
            Err(error) => {
                self.is_readable = error.kind() != io::ErrorKind::WouldBlock;
                counters.net_udp_receive_errors += u64::from(self.is_readable);
                // Another error belongs to one datagram; the next read tells whether more is there.
                return false;
            }
        };
        counters.net_udp_receives += 1;
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        for (slice, meta) in slices.iter_mut().zip(&buffers.meta).take(count) {
            if meta.addr.port() == 0 {
                // Cannot be answered; sending there fails like missing GSO support.
                counters.net_udp_bad_source += 1;
                continue;
            }
            if let (Some(replies), Some(local)) = (&mut self.replies, meta.dst_ip) {
                replies.handle_arrival(meta.addr, local);
            }
            let age = meta.timestamp.and_then(|at| wall.checked_sub(at)).unwrap_or_default();
            let age = if age > MAX_KERNEL_AGE { Duration::ZERO } else { age };
            for datagram in slice[..meta.len].chunks_mut(meta.stride.max(1)) {
                on_datagram(age, meta.addr, datagram);
            }
        }
        true
    }

    /// Sends one datagram or one bundle. What the kernel does not take is counted and gone.
    pub fn send(
        &mut self,
        counters: &mut NetCounters,
        remote: SocketAddr,
        data: &[u8],
        segment: Option<usize>,
    ) {
        let Some(size) = segment.filter(|size| *size > 0 && *size < data.len()) else {
            let sent = self.transmit(remote, data, None);
            count_failure(counters, &sent, 1);
            return;
        };
        let is_tried = self.may_offload(remote, size);
        if is_tried {
            let sent = self.transmit(remote, data, Some(size));
            // EIO and EINVAL have just switched offload off: the bundle goes one by one, and so do
            // all others, unless it was only too large for the way to this address.
            if sent.is_ok() || self.state.max_gso_segments() > 1 {
                counters.net_gso_bundles += u64::from(sent.is_ok());
                count_failure(counters, &sent, data.len().div_ceil(size) as u64);
                return;
            }
        }
        counters.net_gso_fallbacks += 1;
        for datagram in data.chunks(size) {
            let sent = self.transmit(remote, datagram, None);
            count_failure(counters, &sent, 1);
        }
        if is_tried && size > SAFE_GSO_SEGMENT {
            self.handle_narrow(remote);
        }
    }

    fn may_offload(&self, remote: SocketAddr, size: usize) -> bool {
        let is_narrow = || self.narrow.contains(&remote.ip());
        self.state.max_gso_segments() > 1
            && (size <= SAFE_GSO_SEGMENT || (size <= MAX_GSO_SEGMENT && !is_narrow()))
    }

    /// A bundle that may have been too large for its link switched offload off: on again, but not
    /// for such bundles to this address. A kernel without offload says so at the next small one.
    fn handle_narrow(&mut self, remote: SocketAddr) {
        if let Ok(state) = UdpSocketState::new(UdpSockRef::from(&self.socket)) {
            self.state = state;
            self.undo_mtu_probing();
            if self.narrow.len() >= MAX_NARROW {
                self.narrow.clear();
            }
            self.narrow.insert(remote.ip());
        }
    }

    fn undo_mtu_probing(&self) {
        if self.local.is_ipv4() {
            allow_fragments(&self.socket);
        }
    }

    fn transmit(&self, remote: SocketAddr, data: &[u8], segment: Option<usize>) -> io::Result<()> {
        let transmit = Transmit {
            destination: remote,
            ecn: None,
            contents: data,
            segment_size: segment,
            src_ip: self.replies.as_ref().and_then(|r| r.for_remote(remote)),
        };
        self.state.try_send(UdpSockRef::from(&self.socket), &transmit)
    }
}

fn count_failure(counters: &mut NetCounters, sent: &io::Result<()>, datagrams: u64) {
    match sent {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            counters.net_udp_dropped_full += datagrams;
        }
        Err(_) => counters.net_udp_send_errors += datagrams,
    }
}

/// Undoes what is right for QUIC and wrong here: it forbids fragments and probes for the path's MTU.
/// We forward packets as large as their publisher made them (encoders over WHIP use up to 1400
/// bytes), and on a narrower path they would vanish without a word. Routers may cut them instead;
/// ICMP, which anybody can forge, is still not listened to.
fn allow_fragments(socket: impl AsFd) {
    let _ = sockopt::set_ip_mtu_discover(socket, sockopt::Ipv4PathMtuDiscovery::OMIT);
}

/// The forced variants pass over the system's limit and need CAP_NET_ADMIN; without it the plain
/// ones give what the limit allows.
fn enlarge_buffers(socket: &Socket) {
    if sockopt::set_socket_recv_buffer_size_force(socket, SOCKET_BUFFER).is_err() {
        let _ = socket.set_recv_buffer_size(SOCKET_BUFFER);
    }
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER);
}

/// Datagrams that the kernel dropped because the sockets with these inodes were full.
pub fn kernel_drops(inodes: &[u64]) -> u64 {
    let tables = ["/proc/self/net/udp", "/proc/self/net/udp6"];
    let text = tables.iter().filter_map(|path| std::fs::read_to_string(path).ok());
    text.map(|table| table.lines().filter_map(|line| drops_of(line, inodes)).sum::<u64>()).sum()
}

/// Columns by proc(5): … 9 inode … last drops.
fn drops_of(line: &str, inodes: &[u64]) -> Option<u64> {
    let inode = line.split_whitespace().nth(9)?.parse().ok()?;
    inodes.contains(&inode).then(|| line.split_whitespace().last()?.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(addr: &str) -> (UdpPort, UdpPort) {
        let bind = || UdpPort::bind(addr.parse().unwrap()).unwrap();
        (bind(), bind())
    }

    fn received(port: &mut UdpPort, wanted: usize) -> Vec<Vec<u8>> {
        let (mut buffers, mut counters) = (ReceiveBuffers::new(), NetCounters::default());
        let mut got = Vec::new();
        for _ in 0..1000 {
            port.receive(&mut buffers, &mut counters, |_, _, data| got.push(data.to_vec()));
            if got.len() >= wanted {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        got
    }

    #[test]
    fn bundles_arrive_as_datagrams_on_both_families() {
        for addr in ["127.0.0.1:0", "[::1]:0"] {
            let (mut from, mut to) = pair(addr);
            let mut counters = NetCounters::default();
            let bundle: Vec<u8> = (0..2500).map(|i| i as u8).collect();
            from.send(&mut counters, to.local(), &bundle, Some(1000));
            from.send(&mut counters, to.local(), b"single", None);
            let got = received(&mut to, 4);
            let lengths: Vec<usize> = got.iter().map(Vec::len).collect();
            assert_eq!(lengths, [1000, 1000, 500, 6]);
            assert_eq!(got.concat()[..2500], bundle);
            assert_eq!(counters.net_udp_send_errors, 0);
        }
    }

    #[test]
    fn oversized_segments_do_not_switch_offload_off() {
        let (mut from, mut to) = pair("127.0.0.1:0");
        let mut counters = NetCounters::default();
        let offload = from.state.max_gso_segments();
        from.send(&mut counters, to.local(), &[7; 4000], Some(1800));
        assert_eq!(received(&mut to, 3).len(), 3);
        assert_eq!(counters.net_gso_fallbacks, 1);
        assert_eq!(from.state.max_gso_segments(), offload);
    }

    #[test]
    fn a_bundle_too_large_for_one_link_leaves_offload_on_for_all_others() {
        let (mut from, mut to) = pair("127.0.0.1:0");
        let mut counters = NetCounters::default();
        let offload = from.state.max_gso_segments();
        // Port 0 makes the kernel answer EINVAL, as it does above the MTU of a link.
        let narrow = "127.0.0.2:0".parse().unwrap();
        from.send(&mut counters, narrow, &[1; 2600], Some(1300));
        assert_eq!(from.state.max_gso_segments(), offload);
        assert!(offload == 1 || !from.may_offload(narrow, 1300));
        let found = sockopt::ip_mtu_discover(&from.socket).unwrap();
        assert_eq!(found, sockopt::Ipv4PathMtuDiscovery::OMIT);
        from.send(&mut counters, to.local(), &[1; 2600], Some(1300));
        assert_eq!(received(&mut to, 2).len(), 2);
        assert_eq!(counters.net_gso_bundles, u64::from(offload > 1));
    }

    #[test]
    fn without_offload_a_bundle_leaves_one_by_one() {
        let (mut from, mut to) = pair("127.0.0.1:0");
        let mut counters = NetCounters::default();
        // Port 0 makes the kernel answer EINVAL, as a driver without offload does.
        from.send(&mut counters, "127.0.0.1:0".parse().unwrap(), &[1; 2000], Some(1000));
        assert_eq!(from.state.max_gso_segments(), 1);
        from.send(&mut counters, to.local(), &[1; 2000], Some(1000));
        assert_eq!(received(&mut to, 2).len(), 2);
        assert_eq!(counters.net_gso_bundles, 0);
    }

    #[test]
    fn a_wildcard_socket_answers_from_the_address_it_was_called_at() {
        let mut server = UdpPort::bind("0.0.0.0:0".parse().unwrap()).unwrap();
        let port = server.local().port();
        for host in ["127.0.0.1", "127.0.0.2", "127.0.0.3"] {
            let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            client.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
            client.send_to(b"hello", (host, port)).unwrap();
            assert_eq!(received(&mut server, 1), [b"hello"]);
            let remote = client.local_addr().unwrap();
            server.send(&mut NetCounters::default(), remote, b"answer", None);
            let (_, from) = client.recv_from(&mut [0; 64]).unwrap();
            assert_eq!(from.to_string(), format!("{host}:{port}"));
        }
    }

    #[test]
    fn packets_too_large_for_a_narrow_path_may_be_cut() {
        let port = UdpPort::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let found = sockopt::ip_mtu_discover(&port.socket).unwrap();
        assert_eq!(found, sockopt::Ipv4PathMtuDiscovery::OMIT);
    }

    #[test]
    fn kernel_drops_are_found_by_inode() {
        let line = " 1073: 0100007F:1EC2 00000000:0000 07 00000000:00000000 00:00000000 00000000 \
                    0 0 51234 2 0000000000000000 17";
        assert_eq!(drops_of(line, &[51234]), Some(17));
        assert_eq!(drops_of(line, &[1]), None);
        assert_eq!(drops_of("sl local_address rem_address", &[1]), None);
        let port = UdpPort::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        assert_eq!(kernel_drops(&[port.inode().unwrap()]), 0);
    }
}
