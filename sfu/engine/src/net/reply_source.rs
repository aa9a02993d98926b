//! From which of our addresses a peer is answered, on sockets bound to all of them.
//!
//! A peer accepts answers only from the address it sent to. The kernel's own choice differs on
//! hosts with several routes or with temporary IPv6 addresses (RFC 8981).

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

/// Peers remembered that used another address than the usual one.
const MAX_OTHERS: usize = 8192;

/// Which address each peer uses.
#[derive(Debug, Default)]
pub struct ReplySource {
    /// The address that was used first; hosts with one address never get past this field.
    usual: Option<IpAddr>,
    others: HashMap<SocketAddr, IpAddr>,
}

impl ReplySource {
    /// A datagram from `remote` arrived at `local`.
    pub fn handle_arrival(&mut self, remote: SocketAddr, local: IpAddr) {
        match self.usual {
            None => self.usual = Some(local),
            Some(usual) if usual == local => {
                if !self.others.is_empty() {
                    self.others.remove(&remote);
                }
            }
            Some(_) => {
                if self.others.len() >= MAX_OTHERS && !self.others.contains_key(&remote) {
                    // Only forged senders come in such numbers; a real peer is back within
                    // its next packet.
                    self.others.clear();
                }
                self.others.insert(remote, local);
            }
        }
    }

    /// The address to answer `remote` from.
    pub fn for_remote(&self, remote: SocketAddr) -> Option<IpAddr> {
        if self.others.is_empty() {
            return self.usual;
        }
        self.others.get(&remote).copied().or(self.usual)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_peer_is_answered_from_the_address_it_used() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let peer = |port| SocketAddr::new(ip("192.0.2.9"), port);
        let mut replies = ReplySource::default();
        assert_eq!(replies.for_remote(peer(1)), None);
        replies.handle_arrival(peer(1), ip("198.51.100.1"));
        replies.handle_arrival(peer(2), ip("198.51.100.2"));
        assert_eq!(replies.for_remote(peer(1)), Some(ip("198.51.100.1")));
        assert_eq!(replies.for_remote(peer(2)), Some(ip("198.51.100.2")));
        replies.handle_arrival(peer(2), ip("198.51.100.1"));
        assert_eq!(replies.for_remote(peer(2)), Some(ip("198.51.100.1")));
    }

    #[test]
    fn forged_senders_cannot_grow_it() {
        let mut replies = ReplySource::default();
        for n in 0..30_000_u16 {
            let remote = SocketAddr::from(([10, 0, 0, 1], n));
            replies.handle_arrival(remote, IpAddr::from([127, 0, 0, (n % 3) as u8]));
        }
        assert!(replies.others.len() <= MAX_OTHERS);
    }
}
