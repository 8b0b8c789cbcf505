//! Names that rules speak of, found by their first eight letters.

/// Names, sorted. Their first letters as a number tell nearly all of them apart, and numbers are compared at once.
#[derive(Debug)]
pub(super) struct Names {
    keys: Vec<u64>,
    names: Vec<Box<str>>,
}

impl Names {
    /// Takes names in their order.
    pub(super) fn new<'a>(sorted: impl Iterator<Item = &'a str>) -> Self {
        let names: Vec<Box<str>> = sorted.map(Box::from).collect();
        debug_assert!(names.is_sorted(), "names come in their order");
        Self { keys: names.iter().map(|name| key(name)).collect(), names }
    }

    /// Which one it is.
    #[inline]
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        if self.keys.is_empty() {
            return None;
        }
        let key = key(name);
        let mut at = self.keys.partition_point(|known| *known < key);
        while self.keys.get(at) == Some(&key) {
            if &*self.names[at] == name {
                return Some(at);
            }
            at += 1;
        }
        None
    }

    /// The longest name of which it is a version. Lists that hold a shorter one were asked about the longer one, too.
    #[inline]
    pub(super) fn find_version(&self, name: &str) -> Option<usize> {
        let mut name = name;
        loop {
            match (self.find(name), name.rsplit_once(':')) {
                (None, Some((shorter, _))) if !self.keys.is_empty() => name = shorter,
                (found, _) => return found,
            }
        }
    }
}

/// The first eight bytes, as far as there are any: its order is the order of names, where it differs.
#[inline]
fn key(name: &str) -> u64 {
    let bytes = name.as_bytes();
    match bytes.first_chunk::<8>() {
        Some(first) => u64::from_be_bytes(*first),
        None => bytes.iter().fold(0, |key, byte| key << 8 | u64::from(*byte)) << (64 - 8 * bytes.len()).min(63),
    }
}
