//! Speaker groups: of many microphones only the loudest few are forwarded.
//!
//! Decided with each packet, since waiting for a tick would clip the first syllable; what a speaker
//! said right before being admitted is in the ring and leaves first. A group costs a packet as much
//! as it has places, however many members it has. Taps read the rings and hear everybody.

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

/// A place in a group and whose it is.
#[derive(Clone, Copy, Debug)]
struct Place {
    source: u32,
    heard_us: Micros,
    /// Not to be taken away before.
    held_until_us: Micros,
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
        self.sources.get_mut(index)?.group = group;
        let joined = self.speakers.groups.entry(group).or_insert_with(Group::new);
        joined.num_members += 1;
        if joined.places.len() < joined.size {
            joined.places.push(Place { source: index, heard_us: now, held_until_us: 0 });
        } else {
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
            let (at, _) = self.weakest(now, &group.places, |_| true)?;
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
        if group.places.len() < group.size {
            return self.occupy(now, id, index, 0);
        }
        let places = &self.speakers.groups[&id].places;
        let is_stale = |place: &Place| now.saturating_sub(place.heard_us) > STALE_US;
        if let Some(at) = places.iter().position(is_stale) {
            self.vacate(now, id, at);
            return self.occupy(now, id, index, 0);
        }
        if score < FLOOR {
            return;
        }
        let weakest = self.weakest(now, places, |place| place.held_until_us <= now);
        if let Some((at, _)) = weakest.filter(|&(_, weakest)| score > weakest + MARGIN) {
            self.vacate(now, id, at);
            self.occupy(now, id, index, now + HOLD_US);
        }
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
        if let Some(group) = self.speakers.groups.get_mut(&group) {
            group.places.push(Place { source: index, heard_us: now, held_until_us });
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
