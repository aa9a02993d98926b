//! ICE-lite (RFC 8445 §2.5): answers checks, remembers proven paths, picks the one to send on.

use crate::api::{Micros, Path, TransportState};
use crate::media::limit::Limit;
use crate::wire::stun::{IceRole, StunKey, StunMessage, TransactionId};

/// Paths remembered per transport.
const MAX_PATHS: usize = 8;
/// A selected path silent for this long is left at the next check on another one.
const SILENT_CHECK_US: Micros = 1_000_000;
/// Media on another proven path takes over when the selected one is silent for this long; shorter
/// than that, it may just have been overtaken.
const SILENT_MEDIA_US: Micros = 200_000;
/// Checks remembered, so that nobody can send one that he overheard from another address and have
/// the media sent there. Peers check a pair every 2.5 s and a few pairs at most.
const MAX_SEEN: usize = 64;
/// Two announcements of state and path are at least this far apart: a peer may nominate another
/// path with every check.
const NEWS_INTERVAL_US: Micros = 100_000;
const DISCONNECTED_US: Micros = 5_000_000;
const FAILED_US: Micros = 30_000_000;

/// Local credentials.
#[derive(Debug)]
pub struct Credentials {
    /// Name in the first half of USERNAME.
    pub ufrag: String,
    key: StunKey,
}

impl Credentials {
    /// From ufrag and password.
    pub fn new(ufrag: String, password: &str) -> Credentials {
        Credentials { ufrag, key: StunKey::new(password.as_bytes()) }
    }
}

#[derive(Clone, Copy, Debug)]
struct ProvenPath {
    path: Path,
    heard_us: Micros,
}

/// The last checks, and by which path each came first.
#[derive(Debug, Default)]
struct Seen {
    checks: Vec<(TransactionId, Path)>,
    next: usize,
}

impl Seen {
    /// False if this check came by another path before. Peers repeat a check from the same socket
    /// only (RFC 8445 §14.3), and a new one has an identifier of its own (RFC 8489 §6).
    fn admit(&mut self, id: TransactionId, path: Path) -> bool {
        if let Some((_, first)) = self.checks.iter().find(|(known, _)| *known == id) {
            return *first == path;
        }
        if self.checks.len() < MAX_SEEN {
            self.checks.push((id, path));
        } else {
            self.checks[self.next] = (id, path);
            self.next = (self.next + 1) % MAX_SEEN;
        }
        true
    }
}

/// What a check comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckResult {
    /// Integrity or remote ufrag are wrong, or it is a copy from an unproven path: no answer, so
    /// that nothing can be provoked.
    Refused,
    /// Both sides claim the controlled role: answer 487.
    RoleConflict,
    /// Attributes we must understand and do not: answer 420.
    UnknownAttributes,
    /// Good. `forgotten` is a path that had to make room.
    Accepted {
        /// Path that had to make room.
        forgotten: Option<Path>,
        /// The new credentials were used, the old ones are void now.
        is_restarted: bool,
    },
}

/// ICE state of one transport.
#[derive(Debug)]
pub struct Ice {
    current: Credentials,
    /// Valid until the current ones are used for the first time.
    previous: Option<Credentials>,
    remote_ufrag: String,
    paths: Vec<ProvenPath>,
    seen: Seen,
    selected: Option<Path>,
    heard_us: Option<Micros>,
    state: TransportState,
    announced: (TransportState, Option<Path>),
    /// The last news that had to wait.
    held: (TransportState, Option<Path>),
    news: Limit,
}

impl Ice {
    /// Waits for checks with `credentials`.
    pub fn new(credentials: Credentials) -> Ice {
        Ice {
            current: credentials,
            previous: None,
            remote_ufrag: String::new(),
            paths: Vec::new(),
            seen: Seen::default(),
            selected: None,
            heard_us: None,
            state: TransportState::New,
            announced: (TransportState::New, None),
            held: (TransportState::New, None),
            news: Limit::new(NEWS_INTERVAL_US, 1),
        }
    }

    /// All ufrags that checks may use.
    pub fn ufrags(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.current).chain(&self.previous).map(|one| one.ufrag.as_str())
    }

    /// New credentials. Returns the ufrag that is void now (one older than the previous).
    pub fn restart(&mut self, credentials: Credentials) -> Option<String> {
        let before = std::mem::replace(&mut self.current, credentials);
        // The peer's side changes with a restart as well; it is told by `set_remote`.
        self.remote_ufrag.clear();
        self.previous.replace(before).map(|one| one.ufrag)
    }

    /// What the peer's half of USERNAME has to be.
    pub fn set_remote(&mut self, ufrag: String) {
        self.remote_ufrag = ufrag;
    }

    /// Key to answer a check to `ufrag` with.
    pub fn key(&self, ufrag: &[u8]) -> Option<&StunKey> {
        self.credentials(ufrag).map(|one| &one.key)
    }

    /// Path to send on.
    pub fn selected(&self) -> Option<Path> {
        self.selected
    }

    /// State by silence.
    pub fn state(&self) -> TransportState {
        self.state
    }

    /// When something authenticated last came; 0 = never.
    pub fn heard_us(&self) -> Micros {
        self.heard_us.unwrap_or(0)
    }

    /// When something authenticated last came by `path`.
    pub fn heard_on_us(&self, path: Path) -> Option<Micros> {
        self.paths.iter().find(|one| one.path == path).map(|one| one.heard_us)
    }

    /// State and path if they are others than those told last, and it is time to tell them. Changes
    /// that have to wait are added to `num_held`.
    pub fn take_news(
        &mut self,
        now: Micros,
        num_held: &mut u64,
    ) -> Option<(TransportState, Option<Path>)> {
        let news = (self.state, self.selected);
        if news == self.announced {
            self.held = news;
            return None;
        }
        if !self.news.admit(now) {
            *num_held += u64::from(std::mem::replace(&mut self.held, news) != news);
            return None;
        }
        (self.announced, self.held) = (news, news);
        Some(news)
    }

    /// When there is something to tell.
    pub fn news_due_us(&self) -> Option<Micros> {
        ((self.state, self.selected) != self.announced).then(|| self.news.next_us())
    }

    /// Takes a binding request that came by `path`.
    pub fn on_check(&mut self, now: Micros, path: Path, message: &StunMessage<'_>) -> CheckResult {
        let Some((local, remote)) = message.ufrags() else {
            return CheckResult::Refused;
        };
        let is_current = local == self.current.ufrag.as_bytes();
        let is_known =
            self.credentials(local).is_some_and(|one| message.verify_integrity(&one.key));
        // An old check may still name the peer's old ufrag.
        let is_remote_right =
            self.remote_ufrag.is_empty() || !is_current || remote == self.remote_ufrag.as_bytes();
        if !is_known || !is_remote_right {
            return CheckResult::Refused;
        }
        // A copy that overtook the check itself must not take the answer from the peer either: on a
        // path that is proven already a second one is answered, but moves nothing.
        let is_copy = !self.seen.admit(message.transaction_id, path);
        if is_copy && self.heard_on_us(path).is_none() {
            return CheckResult::Refused;
        }
        if matches!(message.role, Some(IceRole::Controlled(_))) {
            return CheckResult::RoleConflict;
        }
        if !message.unknown.as_slice().is_empty() {
            return CheckResult::UnknownAttributes;
        }
        let is_restarted = is_current && self.previous.take().is_some();
        let forgotten = self.remember(now, path);
        let is_silent = self.is_selected_silent(now, SILENT_CHECK_US);
        let is_nominated = message.is_use_candidate && !is_copy;
        if is_nominated || self.selected.is_none() || is_silent {
            self.selected = Some(path);
        }
        self.on_heard(now, path);
        CheckResult::Accepted { forgotten, is_restarted }
    }

    /// Authenticated media came by a proven path.
    pub fn on_media(&mut self, now: Micros, path: Path) {
        if self.selected != Some(path) && self.is_selected_silent(now, SILENT_MEDIA_US) {
            self.selected = Some(path);
        }
        self.on_heard(now, path);
    }

    /// A connection ended. Returns its path if it was proven.
    pub fn forget(&mut self, path: Path) -> bool {
        let before = self.paths.len();
        self.paths.retain(|one| one.path != path);
        if self.selected == Some(path) {
            let latest = self.paths.iter().max_by_key(|one| one.heard_us);
            self.selected = latest.map(|one| one.path);
        }
        before != self.paths.len()
    }

    /// Updates the state by silence; returns when to look again.
    pub fn on_time(&mut self, now: Micros) -> Option<Micros> {
        let heard_us = self.heard_us?;
        let silent_us = now.saturating_sub(heard_us);
        self.state = match silent_us {
            FAILED_US.. => TransportState::Failed,
            DISCONNECTED_US.. => TransportState::Disconnected,
            _ => TransportState::Connected,
        };
        match self.state {
            TransportState::Connected => Some(heard_us + DISCONNECTED_US),
            TransportState::Disconnected => Some(heard_us + FAILED_US),
            _ => None,
        }
    }

    fn credentials(&self, ufrag: &[u8]) -> Option<&Credentials> {
        std::iter::once(&self.current)
            .chain(&self.previous)
            .find(|one| one.ufrag.as_bytes() == ufrag)
    }

    fn is_selected_silent(&self, now: Micros, limit_us: Micros) -> bool {
        let selected = self.paths.iter().find(|one| Some(one.path) == self.selected);
        selected.is_none_or(|one| now.saturating_sub(one.heard_us) > limit_us)
    }

    fn on_heard(&mut self, now: Micros, path: Path) {
        self.heard_us = Some(now);
        self.state = TransportState::Connected;
        if let Some(one) = self.paths.iter_mut().find(|one| one.path == path) {
            one.heard_us = now;
        }
    }

    fn remember(&mut self, now: Micros, path: Path) -> Option<Path> {
        if self.paths.iter().any(|one| one.path == path) {
            return None;
        }
        let mut forgotten = None;
        if self.paths.len() >= MAX_PATHS {
            let selected = self.selected;
            let oldest = (0..self.paths.len())
                .filter(|&index| Some(self.paths[index].path) != selected)
                .min_by_key(|&index| self.paths[index].heard_us);
            forgotten = oldest.map(|index| self.paths.swap_remove(index).path);
        }
        self.paths.push(ProvenPath { path, heard_us: now });
        forgotten
    }
}
