//! Digests: BLAKE3 content hashes that name artifacts and make stage keys.

use std::fmt;
use std::io::{self, BufRead, Read, Write};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A BLAKE3 hash of 256 bits, written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of some bytes.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// The digest of a JSON value in canonical form: object keys sorted, no white space.
    pub fn of_json(value: &serde_json::Value) -> Self {
        Self::of_bytes(canonical_json(value).as_bytes())
    }

    /// The digest of everything `reader` yields, read in pieces.
    ///
    /// # Errors
    /// Those of the reader.
    pub fn of_reader(reader: impl Read) -> io::Result<Self> {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(reader)?;
        Ok(Self(*hasher.finalize().as_bytes()))
    }

    /// The first twelve digits: enough to tell two digests apart on a screen.
    pub fn short(&self) -> String {
        self.to_string()[..12].to_owned()
    }
}

/// Makes the digest of bytes that come in pieces.
#[derive(Clone, Debug, Default)]
pub struct Digester(blake3::Hasher);

impl Digester {
    /// Takes the next piece.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all pieces so far.
    pub fn digest(&self) -> Digest {
        Digest(*self.0.finalize().as_bytes())
    }
}

impl Write for Digester {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A reader of `source` that writes what is read to `sink` as well. Only for sinks that cannot fail, such as a [`Digester`].
#[derive(Debug)]
pub struct Tap<R, W> {
    /// What is read.
    pub source: R,
    /// What sees all that is read.
    pub sink: W,
}

impl<R: Read, W: Write> Read for Tap<R, W> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.sink.write_all(&buffer[..count])?;
        Ok(count)
    }
}

impl<R: BufRead, W: Write> BufRead for Tap<R, W> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.source.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        if count > 0 {
            // What is consumed lies there already, so that this reads nothing.
            let buffer = self.source.fill_buf().expect("nothing is read");
            self.sink.write_all(&buffer[..count]).expect("the sink cannot fail");
        }
        self.source.consume(count);
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({})", self.short())
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl TryFrom<String> for Digest {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl FromStr for Digest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        blake3::Hash::from_hex(text)
            .map(|hash| Self(*hash.as_bytes()))
            .map_err(|_| format!("`{text}` is not a digest of 64 hexadecimal digits"))
    }
}

/// JSON text with sorted keys and no white space, so that equal values give equal bytes.
pub fn canonical_json(value: &serde_json::Value) -> String {
    use serde_json::Value;
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by(|a, b| a.0.cmp(b.0));
            let inner: Vec<String> =
                entries.iter().map(|(key, value)| format!("{}:{}", Value::from(key.as_str()), canonical_json(value))).collect();
            format!("{{{}}}", inner.join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical_json).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_order_does_not_change_a_json_digest_but_values_do() {
        let digest = |text: &str| Digest::of_json(&serde_json::from_str(text).unwrap());
        assert_eq!(digest(r#"{"a": 1, "b": [1, {"d": 2, "c": 3}]}"#), digest(r#"{"b":[1,{"c":3,"d":2}],"a":1}"#));
        assert_ne!(digest(r#"{"a": 1}"#), digest(r#"{"a": 2}"#));
        assert_ne!(digest(r#"{"a": [1, 2]}"#), digest(r#"{"a": [2, 1]}"#));
    }

    #[test]
    fn a_digest_survives_its_text_form() {
        let digest = Digest::of_bytes(b"pixels");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert_eq!(Digest::of_reader(&b"pixels"[..]).unwrap(), digest);
        let mut pieces = Digester::default();
        pieces.update(b"pix");
        pieces.update(b"els");
        assert_eq!(pieces.digest(), digest);
        assert!("abc".parse::<Digest>().is_err());
    }

    #[test]
    fn a_tap_sees_what_is_read_and_nothing_more() {
        let mut tap = Tap { source: io::BufReader::with_capacity(4, &b"pixels and more"[..]), sink: Vec::new() };
        let mut three = [0; 3];
        tap.read_exact(&mut three).unwrap();
        assert_eq!(tap.fill_buf().unwrap(), b"e");
        assert_eq!(tap.sink, b"pix");
        tap.consume(1);
        tap.consume(0);
        io::copy(&mut (&mut tap).take(2), &mut io::sink()).unwrap();
        assert_eq!(tap.sink, b"pixels");
        let mut digester = Digester::default();
        io::copy(&mut tap.sink.as_slice(), &mut digester).unwrap();
        assert_eq!(digester.digest(), Digest::of_bytes(b"pixels"));
    }
}
