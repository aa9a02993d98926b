//! Speaker groups: of many microphones only the loudest few are forwarded.
//!
//! Decided with each packet, since waiting for a tick would clip the first syllable; what a speaker
//! said right before being admitted is in the ring and leaves first. A group costs a packet as much
//! as it has places, however many members it has. Taps read the rings and hear everybody.
//!
//! Places are people's, not microphones': a person's second microphone has a place only while nobody
//! else wants it, and the louder one of a person's microphones replaces the other, not somebody.

use std::collections::HashMap;

use crate::api::Micros;
use crate::media::loudness::{FLOOR, MARGIN};

use super::Core;

/// Places of a group before it is told otherwise, and at most.
const DEFAULT_SIZE: usize = 3;
const MAX_SIZE: usize = 16;
/// Who won a place by speaking keeps it for this long, so that two who speak at once do not cut each
/// other into pieces.
const HOLD_US: Micros = 500_000;
/// A place whose owner sent nothing for this long is free; with DTX something comes every 400 ms.
const STALE_US: Micros = 2_000_000;
/// What is sent first of somebody who is admitted: a level is a mean over 20 ms and speech swells.
const PRE_ROLL_US: Micros = 80_000;

/// Whose microphone it is: all that come over one connection are one person's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Person {
    Transport(u32),
    /// A local source comes over none, and is somebody by itself.
    Source(u32),
}

/// A place in a group and whose it is.
#[derive(Clone, Copy, Debug)]
struct Place {
    source: u32,
    person: Person,
    heard_us: Micros,
    /// Not to be taken away before.
    held_until_us: Micros,
}

/// A place that may be taken.
#[derive(Clone, Copy, Debug)]
enum Free {
    Empty,
    /// Another source leaves it.
    Of(usize),
}

/// Sources of which the loudest are forwarded.
#[derive(Debug)]
struct Group {
    size: usize,
    num_members: usize,
    places: Vec<Place>,
}

impl Group {
    fn new() -> Group {
        Group { size: DEFAULT_SIZE, num_members: 0, places: Vec::with_capacity(MAX_SIZE) }
    }

    /// Whether a person has a place.
    fn has(&self, person: Person) -> bool {
        self.places.iter().any(|place| place.person == person)
    }

    /// Whether its person has another place, too.
    fn is_spare(&self, place: &Place) -> bool {
        self.places.iter().any(|other| other.person == place.person && other.source != place.source)
    }

    /// A place whose owner fell silent long ago.
    fn stale(&self, now: Micros) -> Option<usize> {
        self.places.iter().position(|place| now.saturating_sub(place.heard_us) > STALE_US)
    }
}

/// All groups, by the caller's numbers.
#[derive(Debug, Default)]
pub struct Speakers {
    groups: HashMap<u32, Group>,
}

impl Core {
    /// Puts a source into a group, or into none (0).
    pub(super) fn set_speaker_group(&mut self, now: Micros, id: u32, group: u32) -> Option<()> {
        let index = self.sources.index(id)?;
        let source = self.sources.get_mut(index)?;
        if !source.is_audio {
            return None;
        }
        if source.group == group {
            return Some(());
        }
        self.leave_group(index);
        self.set_admitted(now, index, true);
        if group == 0 {
            return Some(());
        }
        let person = self.person(index);
        self.sources.get_mut(index)?.group = group;
        let joined = self.speakers.groups.entry(group).or_insert_with(Group::new);
        joined.num_members += 1;
        if joined.places.len() < joined.size {
            joined.places.push(Place { source: index, person, heard_us: now, held_until_us: 0 });
        } else {
            // Somebody's spare place is for its first packet to take.
            self.set_admitted(now, index, false);
        }
        Some(())
    }

    /// Sets how many of a group are forwarded. It has members, or the order is of no use.
    pub(super) fn set_group_size(&mut self, now: Micros, id: u32, size: u8) -> Option<()> {
        let found = self.speakers.groups.get_mut(&id)?;
        found.size = usize::from(size).clamp(1, MAX_SIZE);
        while let Some(group) = self.speakers.groups.get(&id) {
            if group.places.len() <= group.size {
                break;
            }
            let spare = self.weakest(now, &group.places, |place| group.is_spare(place));
            let (at, _) = spare.or_else(|| self.weakest(now, &group.places, |_| true))?;
            self.vacate(now, id, at);
        }
        Some(())
    }

    /// A packet of a group's member came: it keeps its place, takes a free one, or wins one.
    pub(super) fn contest(&mut self, now: Micros, index: u32) {
        let Some(source) = self.sources.get(index) else {
            return;
        };
        let (id, score) = (source.group, source.loudness.score(now));
        let Some(group) = self.speakers.groups.get_mut(&id) else {
            return;
        };
        if let Some(place) = group.places.iter_mut().find(|place| place.source == index) {
            place.heard_us = now;
            return;
        }
        let person = self.person(index);
        if let Some(free) = self.free_place(now, id, person) {
            if let Free::Of(at) = free {
                self.vacate(now, id, at);
            }
            return self.occupy(now, id, index, 0);
        }
        if score < FLOOR {
            return;
        }
        let Some(group) = self.speakers.groups.get(&id) else {
            return;
        };
        // Who has a place already may speak into another microphone, but takes nobody else's place.
        let has_place = group.has(person);
        let weakest = self.weakest(now, &group.places, |place| {
            place.held_until_us <= now && (!has_place || place.person == person)
        });
        if let Some((at, _)) = weakest.filter(|&(_, weakest)| score > weakest + MARGIN) {
            self.vacate(now, id, at);
            self.occupy(now, id, index, now + HOLD_US);
        }
    }

    /// Whose a source is.
    fn person(&self, index: u32) -> Person {
        let transport = self.sources.get(index).and_then(|source| source.transport);
        transport.map_or(Person::Source(index), Person::Transport)
    }

    /// A place that costs nobody who is to be heard anything: one that nobody has, one whose owner
    /// fell silent long ago, or, for who has none, one that somebody has beside another.
    fn free_place(&self, now: Micros, id: u32, person: Person) -> Option<Free> {
        let group = self.speakers.groups.get(&id)?;
        if group.places.len() < group.size {
            return Some(Free::Empty);
        }
        if let Some(at) = group.stale(now) {
            return Some(Free::Of(at));
        }
        if group.has(person) {
            return None;
        }
        let spare = self.weakest(now, &group.places, |place| group.is_spare(place));
        spare.map(|(at, _)| Free::Of(at))
    }

    /// A source ended or was muted: its place is free at once.
    pub(super) fn give_up_place(&mut self, now: Micros, index: u32) {
        let group = self.sources.get(index).map_or(0, |source| source.group);
        let places = self.speakers.groups.get(&group).map(|group| &group.places);
        let at = places.and_then(|places| places.iter().position(|place| place.source == index));
        if let Some(at) = at {
            self.vacate(now, group, at);
        }
    }

    /// Takes a source out of its group. Whether it is forwarded is for the caller to say.
    pub(super) fn leave_group(&mut self, index: u32) {
        let Some(source) = self.sources.get_mut(index) else {
            return;
        };
        let id = std::mem::take(&mut source.group);
        let Some(group) = self.speakers.groups.get_mut(&id) else {
            return;
        };
        group.places.retain(|place| place.source != index);
        group.num_members -= 1;
        if group.num_members == 0 {
            self.speakers.groups.remove(&id);
        }
    }

    /// The place whose owner is least to be heard, of those that `is_open`.
    fn weakest(
        &self,
        now: Micros,
        places: &[Place],
        is_open: impl Fn(&Place) -> bool,
    ) -> Option<(usize, i32)> {
        let score_of = |place: &Place| {
            self.sources.get(place.source).map_or(0, |source| source.loudness.score(now))
        };
        let open = places.iter().enumerate().filter(|(_, place)| is_open(place));
        open.map(|(at, place)| (at, score_of(place))).min_by_key(|&(_, score)| score)
    }

    fn occupy(&mut self, now: Micros, group: u32, index: u32, held_until_us: Micros) {
        let person = self.person(index);
        if let Some(group) = self.speakers.groups.get_mut(&group) {
            group.places.push(Place { source: index, person, heard_us: now, held_until_us });
        }
        self.counters.speakers_admitted += 1;
        self.set_admitted(now, index, true);
    }

    fn vacate(&mut self, now: Micros, group: u32, at: usize) {
        if let Some(group) = self.speakers.groups.get_mut(&group) {
            let place = group.places.swap_remove(at);
            self.set_admitted(now, place.source, false);
        }
    }

    /// Opens or closes a source's way to its sinks.
    fn set_admitted(&mut self, now: Micros, index: u32, is_admitted: bool) {
        let Some(source) = self.sources.get_mut(index) else {
            return;
        };
        if source.is_held_back != is_admitted {
            return;
        }
        source.is_held_back = !is_admitted;
        for &sink in &source.sinks {
            let Some(sink) = self.sinks.get_mut(sink) else {
                continue;
            };
            match is_admitted {
                true => sink.flow.start_from(now.saturating_sub(PRE_ROLL_US)),
                false => sink.flow.stop(),
            }
        }
    }
}
