//! The kernel's own memory for objects: sockets, files, epoll registrations.

use std::collections::BTreeMap;
use std::fs;

/// Bytes in use by cache, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slab(BTreeMap<String, u64>);

impl Slab {
    /// Reads `/proc/slabinfo`; `None` without the permission, which only root has.
    #[must_use]
    pub fn read() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/slabinfo").ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut caches = BTreeMap::new();
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [name, active, _, object_len, ..] = words[..] else { continue };
            let (Ok(active), Ok(object_len)) = (active.parse::<u64>(), object_len.parse::<u64>()) else { continue };
            caches.insert(name.to_owned(), active * object_len);
        }
        (!caches.is_empty()).then_some(Self(caches))
    }

    /// All caches together, in bytes.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// The caches that grew most since `earlier`, with how much, the largest first.
    #[must_use]
    pub fn growth_since(&self, earlier: &Self, count_max: usize) -> Vec<(String, u64)> {
        let grown = self
            .0
            .iter()
            .map(|(name, &len)| (name.clone(), len.saturating_sub(earlier.0.get(name).copied().unwrap_or(0))));
        let mut grown: Vec<_> = grown.filter(|&(_, len)| len > 0).collect();
        grown.sort_by_key(|&(_, len)| std::cmp::Reverse(len));
        grown.truncate(count_max);
        grown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(tcp: u64) -> String {
        format!(
            "slabinfo - version: 2.1\n# name <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab>\n\
             TCP                 {tcp}   50   2368   13    8 : tunables    0    0    0 : slabdata   1   1   0\n\
             dentry            100  200    192   21    1 : tunables    0    0    0 : slabdata   9   9   0\n"
        )
    }

    #[test]
    fn growth_is_told_by_cache() {
        let before = Slab::parse(&text(10)).expect("it is a slabinfo");
        let after = Slab::parse(&text(30)).expect("it is a slabinfo");
        assert_eq!(before.total(), 10 * 2368 + 100 * 192);
        assert_eq!(after.total() - before.total(), 20 * 2368);
        assert_eq!(after.growth_since(&before, 5), [("TCP".to_owned(), 20 * 2368)]);
        assert_eq!(Slab::parse("no table"), None);
    }
}
