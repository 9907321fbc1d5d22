//! Moments at which a test lets the process die, as a power cut would.
//!
//! `WEIR_CRASH=agent-commit-synced:50` aborts the process when it comes to that point for the 50th time. Only builds with the
//! feature `crash-points` look; in all others a point is nothing. A point has its name beside what could be lost
//! there, so that whoever moves the code moves the point.

/// A moment at which a test may let the process die.
#[cfg(not(feature = "crash-points"))]
#[inline]
pub fn crash_point(_name: &str) {}

/// A moment at which a test may let the process die.
#[cfg(feature = "crash-points")]
pub fn crash_point(name: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static CHOSEN: OnceLock<Option<(String, u64)>> = OnceLock::new();
    static HITS: AtomicU64 = AtomicU64::new(0);
    let chosen = CHOSEN.get_or_init(|| {
        let text = std::env::var("WEIR_CRASH").ok()?;
        let (name, hit) = text.rsplit_once(':')?;
        Some((name.to_owned(), hit.parse().ok()?))
    });
    let Some((point, hit)) = chosen else { return };
    if point == name && HITS.fetch_add(1, Ordering::Relaxed) + 1 == *hit {
        eprintln!("crash point {name}, hit {hit}");
        std::process::abort();
    }
}
