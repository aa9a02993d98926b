//! When each transport wants attention: a heap whose stale entries are skipped.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::api::Micros;

/// Due times by index.
#[derive(Debug, Default)]
pub struct Timers {
    heap: BinaryHeap<Reverse<(Micros, u32)>>,
    due: Vec<Micros>,
}

impl Timers {
    /// `index` wants attention at `due` at the latest.
    pub fn schedule(&mut self, index: u32, due: Micros) {
        if self.due.len() <= index as usize {
            self.due.resize(index as usize + 1, Micros::MAX);
        }
        let known = &mut self.due[index as usize];
        if due < *known {
            *known = due;
            self.heap.push(Reverse((due, index)));
        }
    }

    /// The next index whose time has come; it is then without a due time.
    pub fn pop_due(&mut self, now: Micros) -> Option<u32> {
        while let Some(&Reverse((due, index))) = self.heap.peek() {
            if due > now {
                return None;
            }
            self.heap.pop();
            if self.due[index as usize] == due {
                self.due[index as usize] = Micros::MAX;
                return Some(index);
            }
        }
        None
    }

    /// The earliest due time; may be that of an entry that has become stale.
    pub fn next_due(&self) -> Micros {
        self.heap.peek().map_or(Micros::MAX, |&Reverse((due, _))| due)
    }
}

#[cfg(test)]
mod tests {
    use super::Timers;

    #[test]
    fn earlier_wishes_replace_later_ones() {
        let mut timers = Timers::default();
        timers.schedule(3, 100);
        timers.schedule(3, 200);
        timers.schedule(1, 50);
        timers.schedule(3, 20);
        assert_eq!(timers.next_due(), 20);
        assert_eq!(timers.pop_due(10), None);
        assert_eq!(timers.pop_due(60), Some(3));
        assert_eq!(timers.pop_due(60), Some(1));
        assert_eq!(timers.pop_due(1000), None);
        timers.schedule(3, 500);
        assert_eq!(timers.pop_due(1000), Some(3));
    }
}
