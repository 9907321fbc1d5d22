//! Names of fixed capacity, because a model is plain old data.

use crate::schema::MAX_NAME_BYTES;

/// A UTF-8 string of at most [`MAX_NAME_BYTES`]. Unused bytes are zero.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Name {
    len: u8,
    bytes: [u8; MAX_NAME_BYTES],
}

impl Name {
    pub(crate) const EMPTY: Self = Self { len: 0, bytes: [0; MAX_NAME_BYTES] };

    /// The name, or `None` if it is too long.
    pub(crate) fn new(text: &str) -> Option<Self> {
        let mut name = Self::EMPTY;
        name.len = u8::try_from(text.len()).ok()?;
        name.bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        Some(name)
    }

    pub(crate) fn as_str(&self) -> &str {
        let used = self.bytes.get(..usize::from(self.len)).unwrap_or_default();
        str::from_utf8(used).unwrap_or_default()
    }
}

impl std::fmt::Debug for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_str().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacity_counts_bytes_and_keeps_the_whole_name() {
        let longest = "ä".repeat(MAX_NAME_BYTES / 2);
        assert_eq!(Name::new(&longest).unwrap().as_str(), longest);
        assert_eq!(Name::new(&format!("{longest}x")), None);
        assert_eq!(Name::new(&"x".repeat(300)), None);
        assert_eq!(Name::new("").unwrap(), Name::EMPTY);
    }
}
