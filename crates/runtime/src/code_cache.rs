//! Compiled functions kept in memory, so that a snapshot compiles in a quarter of the time.
//!
//! Every snapshot of a template has the template's functions and differs in data alone, which is
//! what the engine's incremental compilation asks this store for. It lives in this process only:
//! machine code from anywhere else would have to be trusted.
//!
//! Invariant: the stored keys and values never exceed the budget. When the next one would, all
//! are dropped: one template's functions need a few hundred kilobytes, so that this happens only
//! when many foreign models pass through, and costs one full compilation.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use wasmtime::CacheStore;

#[derive(Debug)]
pub(crate) struct CodeCache {
    bytes_max: usize,
    stored: Mutex<Stored>,
}

#[derive(Default)]
struct Stored {
    functions: HashMap<Box<[u8]>, Box<[u8]>>,
    bytes: usize,
}

impl std::fmt::Debug for Stored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stored")
            .field("functions", &self.functions.len())
            .field("bytes", &self.bytes)
            .finish()
    }
}

impl CodeCache {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, stored: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Stored> {
        // Nothing below can panic half-way but for want of memory, which aborts.
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CacheStore for CodeCache {
    fn get(&self, key: &[u8]) -> Option<Cow<'_, [u8]>> {
        self.lock().functions.get(key).map(|code| Cow::Owned(code.to_vec()))
    }

    fn insert(&self, key: &[u8], value: Vec<u8>) -> bool {
        let bytes = key.len() + value.len();
        if bytes > self.bytes_max {
            return false;
        }
        let mut stored = self.lock();
        if stored.functions.contains_key(key) {
            return true;
        }
        if stored.bytes + bytes > self.bytes_max {
            *stored = Stored::default();
        }
        stored.bytes += bytes;
        stored.functions.insert(key.into(), value.into());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_fits_and_never_more() {
        let cache = CodeCache::new(100);
        assert!(cache.insert(b"a", vec![1; 40]));
        assert!(cache.insert(b"a", vec![1; 40]));
        assert!(cache.insert(b"b", vec![2; 40]));
        assert_eq!(cache.get(b"a").as_deref(), Some([1; 40].as_slice()));
        assert!(cache.insert(b"c", vec![3; 40]));
        assert_eq!(cache.get(b"a"), None);
        assert_eq!(cache.get(b"c").as_deref(), Some([3; 40].as_slice()));
        assert_eq!(cache.lock().bytes, 41);
        assert!(!cache.insert(b"d", vec![4; 100]));
        assert_eq!(cache.get(b"c").as_deref(), Some([3; 40].as_slice()));
    }
}
