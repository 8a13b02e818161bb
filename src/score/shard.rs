//! Shards: which rows belong to which of several runs over the same tables.
//!
//! The rows of all tables, counted through, go in parts of [`ROWS_PER_PART`] to the shards in turn. So any table can be
//! divided while it streams, whatever its length and compression; and since a shard's manifest says how many bytes each of
//! its parts has, the shards are merged by copying bytes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How many rows in a row go to one shard.
pub const ROWS_PER_PART: u64 = 1024;

/// One of several runs that share the rows of some tables: `2/4`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Shard {
    index: u32, // counted from 1
    count: u32,
}

impl Shard {
    /// Shard `index` of `count`, counted from 1.
    ///
    /// # Errors
    /// When there is no such shard.
    pub fn new(index: u32, count: u32) -> Result<Self, String> {
        if (1..=count).contains(&index) {
            Ok(Self { index, count })
        } else {
            Err(format!("there is no shard {index} of {count}: shards count from 1, as in `1/4` to `4/4`"))
        }
    }

    /// Which one, counted from 1.
    pub fn index(self) -> usize {
        self.index as usize
    }

    /// How many there are.
    pub fn count(self) -> usize {
        self.count as usize
    }

    /// Whether the part with this number, counted from 0, is this shard's.
    pub(super) fn has(self, part: u64) -> bool {
        part % u64::from(self.count) == u64::from(self.index - 1)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/').and_then(|(index, count)| Some((index.parse().ok()?, count.parse().ok()?)));
        match numbers {
            Some((index, count)) => Self::new(index, count),
            None => Err(format!("`{text}` is no shard: write which one and how many there are, as in `1/4`")),
        }
    }
}

impl TryFrom<String> for Shard {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Shard> for String {
    fn from(shard: Shard) -> Self {
        shard.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_belongs_to_one_shard() {
        let shards: Vec<Shard> = (1..=3).map(|index| Shard::new(index, 3).unwrap()).collect();
        for part in 0..10 {
            assert_eq!(shards.iter().filter(|shard| shard.has(part)).count(), 1);
        }
        assert_eq!("2/3".parse(), Ok(shards[1]));
        assert_eq!(shards[1].to_string(), "2/3");
        for bad in ["0/3", "4/3", "1/0", "1", "a/b", "-1/2"] {
            assert!(bad.parse::<Shard>().is_err(), "{bad}");
        }
    }
}
