//! Looks for secrets where none may be: in any file, in what is packed into it, and in every dress in
//! which text gets around.
//!
//! A secret is looked for by its two halves, which are plain letters and digits: what escapes a text
//! (JSON, URLs, HCL, Go's `%q`) leaves those as they are, and a part of a secret is a leak as well.
//! Each half is looked for as it is, in hexadecimal, and in base64 at each of the three alignments
//! that it may have in a longer text, in both alphabets. Zip archives (plan files are such) are
//! unpacked, and base64 inside JSON (the `private` of a state) is decoded, again and again.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io::{Cursor, Read as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// The longest member of an archive that is unpacked: no file of these tests comes near.
const MEMBER_MAX_BYTES: u64 = 256 * 1024 * 1024;
/// A needle is told from chance by its length: 64 bits of randomness.
const HALF_LEN: usize = 16;
/// Needles are found by their first bytes.
const START_LEN: usize = 4;

/// A secret that is nowhere else in the world.
#[derive(Debug, Clone)]
pub struct Canary {
    /// What it is used as.
    pub what: String,
    /// The secret.
    pub value: String,
    /// Whether its digest is a leak as well. A token's is not: the store knows tokens by it.
    pub digest_leaks: bool,
}

impl Canary {
    /// A new one, with all that needs escaping somewhere between its halves.
    #[must_use]
    pub fn new(what: &str) -> Self {
        let half = || hex::encode(rand::random::<[u8; HALF_LEN / 2]>());
        let value = format!("{}\"\\/+&=%<é> '${{{}", half(), half());
        Self { what: what.to_owned(), value, digest_leaks: true }
    }

    /// One whose value others have made: letters, digits, and what else may be in between.
    #[must_use]
    pub fn of(what: &str, value: &str) -> Self {
        Self { what: what.to_owned(), value: value.to_owned(), digest_leaks: true }
    }

    /// A token, which the store knows by its digest.
    #[must_use]
    pub fn token(what: &str, value: &str) -> Self {
        Self { digest_leaks: false, ..Self::of(what, value) }
    }
}

/// Where a canary was found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// What the canary is used as.
    pub what: String,
    /// The file, and where in it.
    pub place: String,
    /// In which dress.
    pub dress: &'static str,
}

/// A search for some canaries.
pub struct Search {
    needles: Vec<Needle>,
    by_start: HashMap<[u8; START_LEN], Vec<usize>>,
    /// Whether any needle begins with two bytes: most of a file is passed over by this alone.
    starts: Vec<bool>,
    /// How many places were looked at.
    pub places: usize,
    /// What was found.
    pub found: BTreeSet<Found>,
}

struct Needle {
    bytes: Vec<u8>,
    what: String,
    dress: &'static str,
}

impl Search {
    /// A search for these, and nothing looked at yet.
    #[must_use]
    pub fn new(canaries: &[Canary]) -> Self {
        let needles: Vec<Needle> = canaries.iter().flat_map(needles).collect();
        let mut by_start: HashMap<_, Vec<usize>> = HashMap::new();
        let mut starts = vec![false; 1 << 16];
        for (n, needle) in needles.iter().enumerate() {
            if let Some(start) = needle.bytes.first_chunk::<START_LEN>() {
                by_start.entry(*start).or_default().push(n);
                starts[usize::from(start[0]) << 8 | usize::from(start[1])] = true;
            }
        }
        Self { needles, by_start, starts, places: 0, found: BTreeSet::new() }
    }

    /// Looks at every file below a directory.
    ///
    /// # Errors
    /// When something below it cannot be read.
    pub fn tree(&mut self, root: &Path) -> Result<()> {
        let entries = fs::read_dir(root).with_context(|| format!("reading {}", root.display()))?;
        for entry in entries {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                self.tree(&entry.path())?;
            } else if kind.is_file() {
                self.file(&entry.path())?;
            }
        }
        Ok(())
    }

    /// Looks at a file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn file(&mut self, path: &Path) -> Result<()> {
        let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        self.look(&path.display().to_string(), &bytes);
        Ok(())
    }

    /// Looks at bytes, and at what is packed into them.
    pub fn look(&mut self, place: &str, bytes: &[u8]) {
        self.places += 1;
        self.scan(place, bytes);
        if bytes.starts_with(b"PK\x03\x04") {
            self.archive(place, bytes);
        } else if let Ok(json) = serde_json::from_slice::<Value>(bytes) {
            self.json(place, &json);
        }
    }

    fn archive(&mut self, place: &str, bytes: &[u8]) {
        let Ok(mut archive) = zip::ZipArchive::new(Cursor::new(bytes)) else { return };
        for n in 0..archive.len() {
            let Ok(member) = archive.by_index(n) else { continue };
            let name = format!("{place} » {}", member.name().unwrap_or_default());
            let mut content = Vec::new();
            if member.take(MEMBER_MAX_BYTES).read_to_end(&mut content).is_ok() {
                self.look(&name, &content);
            }
        }
    }

    /// Looks at what is base64 in a JSON document, decoded.
    fn json(&mut self, place: &str, value: &Value) {
        match value {
            Value::String(text) if text.len() >= HALF_LEN => {
                if let Ok(bytes) = STANDARD.decode(text) {
                    self.look(&format!("{place} » decoded"), &bytes);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.json(place, item)),
            Value::Object(members) => {
                for (name, member) in members {
                    self.json(&format!("{place} » {name}"), member);
                }
            }
            _ => {}
        }
    }

    fn scan(&mut self, place: &str, bytes: &[u8]) {
        for (at, window) in bytes.windows(START_LEN).enumerate() {
            if !self.starts[usize::from(window[0]) << 8 | usize::from(window[1])] {
                continue;
            }
            let Some(candidates) = self.by_start.get(window) else { continue };
            for needle in candidates.iter().map(|n| &self.needles[*n]) {
                if bytes[at..].starts_with(&needle.bytes) {
                    let (what, dress) = (needle.what.clone(), needle.dress);
                    self.found.insert(Found { what, place: place.to_owned(), dress });
                }
            }
        }
    }
}

/// All that a canary is looked for as.
fn needles(canary: &Canary) -> Vec<Needle> {
    let mut needles = Vec::new();
    let mut add = |bytes: &[u8], dress| {
        needles.push(Needle { bytes: bytes.to_vec(), what: canary.what.clone(), dress });
    };
    let value = canary.value.as_bytes();
    let halves = [&value[..HALF_LEN.min(value.len())], &value[value.len().saturating_sub(HALF_LEN)..]];
    for half in halves {
        add(half, "as it is");
        add(hex::encode(half).as_bytes(), "hexadecimal");
        add(hex::encode_upper(half).as_bytes(), "hexadecimal");
        for alignment in 0..3 {
            for text in base64_within(half, alignment) {
                add(text.as_bytes(), "base64");
            }
        }
    }
    if canary.digest_leaks {
        let digest = Sha256::digest(value);
        add(&digest, "SHA-256");
        add(hex::encode(digest).as_bytes(), "SHA-256, hexadecimal");
        add(STANDARD_NO_PAD.encode(digest).as_bytes(), "SHA-256, base64");
        add(URL_SAFE_NO_PAD.encode(digest).as_bytes(), "SHA-256, base64");
    }
    needles
}

/// The characters that bytes come to in base64 when `alignment` bytes of something else stand before
/// them, without those at the edges that the neighbours have a part in.
fn base64_within(bytes: &[u8], alignment: usize) -> [String; 2] {
    let mut padded = vec![0; alignment];
    padded.extend_from_slice(bytes);
    // Of each three bytes come four characters. The first character that is theirs alone begins at
    // the first multiple of six bits within them; likewise at the end.
    let first = (alignment * 8).div_ceil(6);
    let end = padded.len() * 8 / 6;
    [STANDARD_NO_PAD.encode(&padded), URL_SAFE_NO_PAD.encode(&padded)].map(|text| text[first..end].to_owned())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use zip::write::SimpleFileOptions;

    use super::*;

    fn found_in(canary: &Canary, bytes: &[u8]) -> bool {
        let mut search = Search::new(std::slice::from_ref(canary));
        search.look("a place", bytes);
        !search.found.is_empty()
    }

    fn zipped(name: &str, content: &[u8]) -> Vec<u8> {
        let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
        archive.start_file(name, SimpleFileOptions::default()).unwrap();
        archive.write_all(content).unwrap();
        archive.finish().unwrap().into_inner()
    }

    /// Every dress and every wrapping in which a secret might be somewhere.
    fn planted(value: &str) -> Vec<(&'static str, Vec<u8>)> {
        let json = serde_json::to_string(value).unwrap();
        let nested = serde_json::to_string(&format!("{{\"key\":{json}}}")).unwrap();
        let private = STANDARD.encode(format!(r#"{{"secret":"{}"}}"#, STANDARD.encode(value)));
        let state = format!(r#"{{"resources":[{{"instances":[{{"private":"{private}"}}]}}]}}"#);
        vec![
            ("as it is", value.as_bytes().to_vec()),
            ("in the middle of binary", [&[0, 255, 1][..], value.as_bytes(), &[7; 9]].concat()),
            ("the first half", value.as_bytes()[..HALF_LEN].to_vec()),
            ("the second half", value.as_bytes()[value.len() - HALF_LEN..].to_vec()),
            ("JSON", json.into_bytes()),
            ("JSON in JSON", nested.into_bytes()),
            ("in a URL", utf8_percent_encode(value, NON_ALPHANUMERIC).to_string().into_bytes()),
            ("hexadecimal", hex::encode(value).into_bytes()),
            ("HEXADECIMAL", hex::encode_upper(value).into_bytes()),
            ("base64", STANDARD.encode(value).into_bytes()),
            ("base64, one after", STANDARD.encode(format!("x{value}")).into_bytes()),
            ("base64, two after", STANDARD.encode(format!("xy{value}z")).into_bytes()),
            ("base64 for URLs", URL_SAFE_NO_PAD.encode(format!("user:{value}")).into_bytes()),
            ("a digest", hex::encode(Sha256::digest(value)).into_bytes()),
            ("a plan file", zipped("tfplan", value.repeat(50).as_bytes())),
            ("a state in a plan file", zipped("tfstate", state.as_bytes())),
            ("private, encoded twice", state.into_bytes()),
        ]
    }

    #[test]
    fn a_planted_canary_is_found_wherever_it_is() {
        let canary = Canary::new("a password");
        for (how, bytes) in planted(&canary.value) {
            assert!(found_in(&canary, &bytes), "{how}");
        }
    }

    #[test]
    fn nothing_is_found_where_another_is() {
        let (canary, other) = (Canary::new("a password"), Canary::new("another"));
        for (how, bytes) in planted(&other.value) {
            assert!(!found_in(&canary, &bytes), "{how}");
        }
    }

    #[test]
    fn every_file_of_a_tree_is_looked_at() {
        let canary = Canary::new("a password");
        let dir = crate::scratch::dir("leaks").unwrap();
        fs::create_dir_all(dir.join("a/b")).unwrap();
        for (n, (_, bytes)) in planted(&canary.value).iter().enumerate() {
            fs::write(dir.join(format!("a/b/{n}")), bytes).unwrap();
        }
        let mut search = Search::new(&[canary]);
        search.tree(&dir).unwrap();
        let files: BTreeSet<_> = search.found.iter().filter_map(|it| it.place.split(" » ").next()).collect();
        assert_eq!(files.len(), fs::read_dir(dir.join("a/b")).unwrap().count());
    }
}
