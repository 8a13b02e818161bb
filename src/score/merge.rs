//! Shards put together again: the bytes that one run over all rows would have written.

use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};

use super::files::{Earlier, Outlet, check_files, claims, make_room, write_manifest};
use super::journal::Journal;
use super::manifest::{Manifest, OutputRecord, Part, ShardRecord};
use super::sheet::Sheet;
use super::{Output, ScoreError, Tally};
use crate::digest::{Digest, Digester};
use crate::fs::{self, Claim};
use crate::progress::Progress;

/// A shard to be merged.
struct Piece {
    path: PathBuf,
    manifest: Manifest,
    record: ShardRecord,
}

/// Merges the files of shards, in any order, into `output` and, if the shards list their rejects, into `rejects`, with a
/// manifest beside the output: the bytes of the run without shards. Each shard's manifest must lie beside it, and so must its
/// list of rejects.
///
/// # Errors
/// [`ScoreError::Invalid`] when the shards are not all of one run; [`ScoreError::Damaged`] when a file is not what its
/// manifest says. Nothing is then written.
pub fn merge_shards(
    shards: &[PathBuf],
    output: &Path,
    rejects: Option<&Path>,
    progress: &dyn Progress,
) -> Result<Manifest, ScoreError> {
    let mut claims = claims(None, &[], &Output::File(output.to_owned()), rejects);
    claims.extend(shards.iter().map(|path| Claim::read("the shard", path)));
    claims.extend(shards.iter().map(|path| Claim::read("the manifest of a shard", Manifest::path(path))));
    check_files(&claims)?;
    let pieces = pieces(shards)?;
    claims.extend(pieces.iter().filter_map(Piece::rejects).map(|path| Claim::read("the list of rejects of a shard", path)));
    check_files(&claims)?;
    let first = &pieces[0];
    if first.manifest.rejects.is_some() != rejects.is_some() {
        return Err(ScoreError::Invalid(match rejects {
            Some(_) => "the shards list no rejects: leave out `--rejects`".to_owned(),
            None => "the shards list rejects: say with `--rejects` where the merged list goes".to_owned(),
        }));
    }
    let tally = sum(&pieces);
    if let Some(most) = first.manifest.options.max_errors.filter(|&most| tally.rejected > most) {
        return Err(anyhow!("{} rows of all shards cannot be scored, and at most {most} may", tally.rejected).into());
    }
    if tally.rows > 0 && tally.scored == 0 {
        return Err(anyhow!("none of the {} rows of all shards could be scored", tally.rows).into());
    }
    let (place, list) = (file_at(output)?, rejects.map(file_at).transpose()?);
    let digests: Vec<Digest> = pieces.iter().map(|piece| piece.manifest.output.digest).collect();
    let (mut journal, is_left) = Journal::open_afresh(&place)?;
    let earlier = Earlier { is_left, goes_on: false, rejects_at: None };
    let leftovers = make_room(output, &place, list.as_deref(), &journal, earlier)?;
    journal.begin(&digests)?;
    let total = pieces.iter().map(|piece| fs::stamp(&piece.path).map_or(0, |stamp| stamp.bytes)).sum();
    progress.begin("merging", total, "bytes");
    let merged =
        merge(&pieces, &place, |piece| piece.path.clone(), |manifest| Some(&manifest.output), |part| part.output, progress)?;
    let listed = match &list {
        Some(place) => {
            let list = |piece: &Piece| piece.rejects().unwrap_or_default();
            Some(merge(&pieces, place, list, |manifest| manifest.rejects.as_ref(), |part| part.rejects, progress)?)
        }
        None => None,
    };
    let name = |path: &Path| path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let record = |path: &Path, sheet: &Sheet| OutputRecord { file: Some(name(path)), digest: sheet.written().digest };
    let manifest = Manifest {
        output: record(output, &merged),
        rejects: rejects.zip(listed.as_ref()).map(|(path, sheet)| record(path, sheet)),
        accuracy: tally.accuracy(),
        tally,
        shard: None,
        ..first.manifest.clone()
    };
    if let Some(listed) = listed {
        listed.place()?;
    }
    write_manifest(output, &manifest)?;
    merged.place()?;
    drop(leftovers); // the journal with them
    Ok(manifest)
}

/// Where the file is that `path` leads to. Only a file will do: what is merged is whole only when its last byte was checked.
fn file_at(path: &Path) -> Result<PathBuf, ScoreError> {
    match Outlet::of(path)? {
        Outlet::File(place) => Ok(place),
        Outlet::Stream(_) => {
            let text = "is no plain file, and what is merged must be whole before it is used; merge into a file";
            Err(ScoreError::Invalid(format!("`{}` {text}", path.display())))
        }
    }
}

impl Piece {
    /// Where its list of rejects is, if it has one.
    fn rejects(&self) -> Option<PathBuf> {
        let name = self.manifest.rejects.as_ref()?.file.clone().unwrap_or_default();
        Some(self.path.with_file_name(name))
    }
}

/// The shards in their order, checked to be all of one run.
fn pieces(shards: &[PathBuf]) -> Result<Vec<Piece>, ScoreError> {
    let invalid = |text: String| Err(ScoreError::Invalid(text));
    let mut pieces: Vec<Piece> = Vec::new();
    for path in shards {
        let place = Manifest::path(path);
        let text = fs::read(&place).with_context(|| {
            format!("a shard is merged with the help of its manifest, and that of `{}` cannot be read", path.display())
        })?;
        let manifest: Manifest = serde_json::from_slice(&text).map_err(|error| {
            let place = place.display();
            ScoreError::Damaged(format!("`{place}` is damaged: {error}; score this shard again"))
        })?;
        let Some(record) = manifest.shard.clone() else {
            return invalid(format!("`{}` is no shard: it holds all rows", path.display()));
        };
        pieces.push(Piece { path: path.clone(), manifest, record });
    }
    pieces.sort_by_key(|piece| piece.record.shard.index());
    let Some(first) = pieces.first() else { return invalid("there are no shards to merge".to_owned()) };
    for piece in &pieces {
        if let Some(what) = difference(first, piece) {
            let (one, other) = (first.path.display(), piece.path.display());
            return invalid(format!("`{one}` and `{other}` do not belong together: they differ in {what}"));
        }
    }
    for pair in pieces.windows(2) {
        if pair[0].record.shard == pair[1].record.shard {
            let (one, other) = (pair[0].path.display(), pair[1].path.display());
            return invalid(format!("`{one}` and `{other}` are the same shard: {}", pair[0].record.shard));
        }
    }
    let count = first.record.shard.count();
    if pieces.len() < count {
        let missing = (1..=count).filter(|index| !pieces.iter().any(|piece| piece.record.shard.index() == *index));
        let missing: Vec<String> = missing.map(|index| format!("{index}/{count}")).collect();
        let are = if missing.len() == 1 { "is" } else { "are" };
        return invalid(format!("of {count} shards, {} {are} missing: {}", missing.len(), missing.join(", ")));
    }
    Ok(pieces)
}

/// What two shards of one run would have in common, and these have not.
fn difference(a: &Piece, b: &Piece) -> Option<&'static str> {
    let (one, other) = (&a.manifest, &b.manifest);
    let same = [
        ("the model", one.model == other.model && one.classes == other.classes),
        ("their input", one.inputs == other.inputs),
        ("their options", one.options == other.options && one.rejects.is_some() == other.rejects.is_some()),
        ("the number of shards", a.record.shard.count() == b.record.shard.count()),
        ("the header", a.record.header == b.record.header),
    ];
    same.into_iter().find(|(_, same)| !same).map(|(what, _)| what)
}

fn sum(pieces: &[Piece]) -> Tally {
    let mut sum = Tally::default();
    for Tally { rows, scored, rejected, rejected_lines, predicted, correct } in pieces.iter().map(|piece| &piece.manifest.tally) {
        sum.rows += rows;
        sum.scored += scored;
        sum.rejected += rejected;
        sum.rejected_lines += rejected_lines;
        sum.predicted.resize(predicted.len(), 0);
        sum.predicted.iter_mut().zip(predicted).for_each(|(sum, count)| *sum += count);
        sum.correct = correct.map(|count| sum.correct.unwrap_or(0) + count);
    }
    sum
}

/// A file of a shard that is being read.
struct Open<'a> {
    source: BufReader<Box<dyn Read>>,
    digester: Digester,
    path: PathBuf,
    piece: &'a Piece,
}

/// Takes the parts of all shards in turn, and checks every byte on its way.
fn merge(
    pieces: &[Piece],
    place: &Path,
    of: impl Fn(&Piece) -> PathBuf,
    record: impl Fn(&Manifest) -> Option<&OutputRecord>,
    bytes: impl Fn(&Part) -> u64,
    progress: &dyn Progress,
) -> Result<Sheet, ScoreError> {
    let mut sources = Vec::new();
    for piece in pieces {
        let path = of(piece);
        let source = BufReader::new(Box::new(fs::open(&path)?) as Box<dyn Read>);
        sources.push(Open { source, digester: Digester::default(), path, piece });
    }
    let mut sheet = Sheet::file(place)?;
    let mut done = 0;
    let mut buffer = Vec::new();
    for (index, source) in sources.iter_mut().enumerate() {
        source.take(bytes(&source.piece.record.header), &mut buffer)?;
        if index == 0 {
            sheet.put(&buffer)?;
        }
    }
    let parts = pieces.iter().map(|piece| piece.record.parts.len()).max().unwrap_or(0);
    for part in 0..parts {
        progress.check()?;
        for source in &mut sources {
            let Some(part) = source.piece.record.parts.get(part) else { continue };
            source.take(bytes(part), &mut buffer)?;
            sheet.put(&buffer)?;
            done += buffer.len() as u64;
        }
        progress.advance(done, "");
    }
    for source in &mut sources {
        let expected = record(&source.piece.manifest).map(|record| record.digest);
        let rest =
            io::copy(&mut source.source, &mut io::sink()).with_context(|| format!("cannot read `{}`", source.path.display()))?;
        if rest > 0 || Some(source.digester.digest()) != expected {
            return Err(source.damaged());
        }
    }
    Ok(sheet)
}

impl Open<'_> {
    /// Reads the next `count` bytes.
    fn take(&mut self, count: u64, buffer: &mut Vec<u8>) -> Result<(), ScoreError> {
        buffer.clear();
        let found = (&mut self.source).take(count).read_to_end(buffer);
        let found = found.with_context(|| format!("cannot read `{}`", self.path.display()))?;
        self.digester.update(buffer);
        if found as u64 == count { Ok(()) } else { Err(self.damaged()) }
    }

    fn damaged(&self) -> ScoreError {
        let (path, manifest) = (self.path.display(), Manifest::path(&self.piece.path));
        ScoreError::Damaged(format!("`{path}` is not what `{}` says; score this shard again", manifest.display()))
    }
}
