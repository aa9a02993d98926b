//! Items by caller's number and by dense index.

use std::collections::HashMap;

/// A slab: indices are reused, numbers never are.
#[derive(Debug)]
pub struct Slab<T> {
    items: Vec<Option<T>>,
    free: Vec<u32>,
    by_id: HashMap<u32, u32>,
}

impl<T> Slab<T> {
    /// An empty slab.
    pub fn new() -> Slab<T> {
        Slab { items: Vec::new(), free: Vec::new(), by_id: HashMap::new() }
    }

    /// Adds an item; `None` if the number is taken.
    pub fn insert(&mut self, id: u32, item: T) -> Option<u32> {
        if self.by_id.contains_key(&id) {
            return None;
        }
        let index = self.free.pop().unwrap_or_else(|| {
            self.items.push(None);
            self.items.len() as u32 - 1
        });
        self.items[index as usize] = Some(item);
        self.by_id.insert(id, index);
        Some(index)
    }

    /// Takes an item out.
    pub fn remove(&mut self, id: u32) -> Option<(u32, T)> {
        let index = self.by_id.remove(&id)?;
        self.free.push(index);
        self.items[index as usize].take().map(|item| (index, item))
    }

    /// Index of a number.
    pub fn index(&self, id: u32) -> Option<u32> {
        self.by_id.get(&id).copied()
    }

    /// Item at an index.
    pub fn get(&self, index: u32) -> Option<&T> {
        self.items.get(index as usize)?.as_ref()
    }

    /// Item at an index.
    pub fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.items.get_mut(index as usize)?.as_mut()
    }

    /// Item of a number.
    pub fn by_id_mut(&mut self, id: u32) -> Option<&mut T> {
        let index = self.index(id)?;
        self.get_mut(index)
    }

    /// The first index at or after `from` that is in use.
    pub fn next_index(&self, from: u32) -> Option<u32> {
        (from..self.items.len() as u32).find(|&index| self.items[index as usize].is_some())
    }

    /// Nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// All items.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.items.iter().flatten()
    }

    /// All items with their index.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut T)> {
        self.items
            .iter_mut()
            .enumerate()
            .filter_map(|(index, item)| Some((index as u32, item.as_mut()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::Slab;

    #[test]
    fn indices_are_reused_and_numbers_are_not_doubled() {
        let mut slab = Slab::new();
        assert_eq!(slab.insert(7, 'a'), Some(0));
        assert_eq!(slab.insert(7, 'b'), None);
        assert_eq!(slab.insert(8, 'b'), Some(1));
        assert_eq!(slab.remove(7), Some((0, 'a')));
        assert_eq!(slab.remove(7), None);
        assert_eq!(slab.insert(9, 'c'), Some(0));
        assert_eq!(slab.iter().collect::<String>(), "cb");
        assert_eq!(slab.get(5), None);
    }
}
