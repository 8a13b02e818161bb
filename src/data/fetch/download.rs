//! Downloading one file of known length over HTTP or HTTPS: with progress, patience, resumption and a check of what came.
//!
//! What has arrived lies in `<name>.partial` beside the target, and a later attempt asks for the rest by a range request
//! (RFC 9110, section 14). The network is read by a thread of its own, so that an interruption is noticed while it stalls.
//! A server can neither fill the disk, for nothing beyond the known length is kept, nor hold the program up: it must begin
//! to answer in time, send a least number of bytes a second, and be done by a deadline that follows from both.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use ureq::Agent;
use ureq::http::header::{CONTENT_LENGTH, CONTENT_RANGE, RANGE};
use ureq::http::{HeaderMap, HeaderName, StatusCode};
use ureq::tls::{RootCerts, TlsConfig};

use crate::data::DataError;
use crate::fs;
use crate::progress::Progress;

/// How often a broken transfer is taken up again.
const ATTEMPTS: usize = 3;
/// How often the wish to stop is looked at.
const TICK: Duration = Duration::from_millis(100);
/// Bytes that are read at once.
const CHUNK: usize = 1 << 16;
/// A transfer of fewer bytes a second is given up.
const SLOWEST: u64 = 4000;
/// Nobody waits longer.
const MOST_PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);
/// How often a server may send the client elsewhere.
const MOST_REDIRECTS: u32 = 5;

/// What to download.
pub(super) struct Request<'a> {
    pub url: String,
    pub target: &'a Path,
    /// How many bytes it has.
    pub bytes: u64,
    /// Give up when nothing has arrived for so long, or too little.
    pub patience: Duration,
    /// Whom to trust that a server is who it says it is, with `https`.
    pub trust: RootCerts,
}

impl Request<'_> {
    /// The longest that all attempts together may take: what the slowest transfer takes, and for each attempt a wait for the answer and
    /// one for the bytes.
    fn longest(&self) -> Duration {
        let patience = self.patience.min(MOST_PATIENCE);
        Duration::from_secs(self.bytes / SLOWEST) + patience * (2 * ATTEMPTS as u32)
    }
}

/// Downloads a file; it appears at its target only when `check` has passed.
pub(super) fn download(
    request: &Request<'_>,
    check: &dyn Fn(&Path) -> Result<()>,
    progress: &dyn Progress,
) -> Result<(), DataError> {
    let partial = partial_path(request.target);
    let end = Instant::now() + request.longest();
    let mut attempt = 1;
    loop {
        // What is no part of this file makes room; a link is not followed, for what it leads to is somebody else's.
        if fs::is_link(&partial) || fs::stamp(&partial).is_none_or(|stamp| stamp.bytes > request.bytes) {
            fs::remove(&partial)?;
        }
        let had = fs::stamp(&partial).map_or(0, |stamp| stamp.bytes);
        if had > 0 && check(&partial).is_ok() {
            break;
        }
        match transfer(request, &partial, had, end, progress) {
            Ok(()) => match check(&partial) {
                Ok(()) => break,
                // The part that was there before may be of another file.
                Err(_) if had > 0 => fs::remove(&partial)?,
                Err(error) => {
                    fs::remove(&partial)?;
                    return Err(error.into());
                }
            },
            Err(Failure::Final(error)) => return Err(error),
            Err(Failure::Broken(error)) if attempt == ATTEMPTS => return Err(error.into()),
            Err(Failure::Broken(error)) => {
                progress.note(&format!("{error:#}; trying again"));
                attempt += 1;
            }
        }
    }
    fs::rename(&partial, request.target)?;
    Ok(())
}

fn partial_path(target: &Path) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(".partial");
    name.into()
}

/// Why a transfer did not end well.
enum Failure {
    /// Trying again may help.
    Broken(anyhow::Error),
    /// It will not.
    Final(DataError),
}

impl<E: Into<DataError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Final(error.into())
    }
}

/// What the network thread has to say.
enum Event {
    Begun { status: StatusCode, headers: HeaderMap },
    Bytes(Vec<u8>),
    Ended,
    Failed(anyhow::Error),
}

/// Transfers what is missing of a file of which `had` bytes are there.
fn transfer(request: &Request<'_>, partial: &Path, had: u64, end: Instant, progress: &dyn Progress) -> Result<(), Failure> {
    let (sender, events) = mpsc::sync_channel(16);
    let (url, agent) = (request.url.clone(), agent(request, end));
    std::thread::spawn(move || {
        if let Err(error) = receive(&url, had, &agent, &sender) {
            _ = sender.send(Event::Failed(error)); // nobody listens any more: nobody wants to know
        }
    });
    let (mut file, mut done) = (None, 0);
    let mut heard = Instant::now();
    let mut pace: Option<Pace> = None;
    loop {
        progress.check()?;
        if Instant::now() > end {
            let minutes = request.longest().as_secs() / 60;
            return Err(anyhow!("{}: it was not done after {minutes} minutes", request.url).into());
        }
        if pace.as_mut().is_some_and(Pace::is_too_slow) {
            return Err(Failure::Broken(anyhow!("{}: fewer than {SLOWEST} bytes arrived a second", request.url)));
        }
        let event = match events.recv_timeout(TICK) {
            Ok(event) => event,
            Err(RecvTimeoutError::Timeout) if heard.elapsed() < request.patience => continue,
            Err(RecvTimeoutError::Timeout) => {
                let seconds = request.patience.as_secs_f64();
                return Err(Failure::Broken(anyhow!("{}: nothing arrived for {seconds} seconds", request.url)));
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Failure::Broken(anyhow!("{}: the transfer broke off", request.url)));
            }
        };
        heard = Instant::now();
        match event {
            Event::Begun { status, headers } => {
                let from = begin(request, partial, had, status, &headers)?;
                done = from;
                file = Some(fs::open_append(partial, from == 0)?);
                pace = Some(Pace::new(request.patience));
                let name = request.target.file_name().unwrap_or_default().to_string_lossy().into_owned();
                progress.begin(&name, request.bytes, "bytes");
                progress.advance(done, "");
            }
            Event::Bytes(bytes) => {
                if done + bytes.len() as u64 > request.bytes {
                    fs::remove(partial)?;
                    let (url, most) = (&request.url, request.bytes);
                    return Err(anyhow!("{url}: the server sends more than the {most} bytes that were published").into());
                }
                let (file, pace) = file.as_mut().zip(pace.as_mut()).context("bytes came before the head of the answer")?;
                pace.bytes += bytes.len() as u64;
                file.write_all(&bytes).with_context(|| format!("cannot write `{}`", partial.display()))?;
                done += bytes.len() as u64;
                progress.advance(done, "");
            }
            Event::Ended if done == request.bytes => return Ok(()),
            Event::Ended => {
                let (url, total) = (&request.url, request.bytes);
                return Err(Failure::Broken(anyhow!("{url}: the transfer ended after {done} of {total} bytes")));
            }
            Event::Failed(error) => return Err(Failure::Broken(error.context(request.url.clone()))),
        }
    }
}

/// Judges the head of an answer; the first byte that comes.
fn begin(request: &Request<'_>, partial: &Path, had: u64, status: StatusCode, headers: &HeaderMap) -> Result<u64, Failure> {
    if status == StatusCode::RANGE_NOT_SATISFIABLE {
        fs::remove(partial)?;
        return Err(Failure::Broken(anyhow!("{}: what was there is not a part of it", request.url)));
    }
    let begun = Begun::understand(status, headers, had).with_context(|| request.url.clone());
    let begun = if status.is_server_error() { begun.map_err(Failure::Broken) } else { begun.map_err(Failure::from) }?;
    match begun.total {
        Some(total) if total != request.bytes => {
            Err(anyhow!("{}: the server has {total} bytes, not the {} as published", request.url, request.bytes).into())
        }
        _ => Ok(begun.from),
    }
}

/// Whether enough arrives: looked at once in each span of patience.
struct Pace {
    span: Duration,
    begun: Instant,
    bytes: u64,
}

impl Pace {
    fn new(span: Duration) -> Self {
        Self { span, begun: Instant::now(), bytes: 0 }
    }

    fn is_too_slow(&mut self) -> bool {
        let spent = self.begun.elapsed();
        if spent < self.span {
            return false;
        }
        let is_slow = (self.bytes as f64) < SLOWEST as f64 * spent.as_secs_f64();
        *self = Self::new(self.span);
        is_slow
    }
}

/// What speaks HTTP. Whoever asked for `https` is not sent on to an address without.
fn agent(request: &Request<'_>, end: Instant) -> Agent {
    let left = end.saturating_duration_since(Instant::now());
    Agent::config_builder()
        .http_status_as_error(false)
        .https_only(request.url.starts_with("https:"))
        .max_redirects(MOST_REDIRECTS)
        .tls_config(TlsConfig::builder().root_certs(request.trust.clone()).build())
        .timeout_global(Some(left))
        .timeout_connect(Some(request.patience.min(MOST_PATIENCE)))
        .timeout_per_read(Some(request.patience.min(MOST_PATIENCE)))
        .build()
        .into()
}

/// Reads from the network and passes on what comes, until it ends or nobody listens.
fn receive(url: &str, had: u64, agent: &Agent, events: &SyncSender<Event>) -> Result<()> {
    let mut get = agent.get(url);
    if had > 0 {
        get = get.header(RANGE, format!("bytes={had}-"));
    }
    let (head, body) = get.call()?.into_parts();
    if events.send(Event::Begun { status: head.status, headers: head.headers }).is_err() {
        return Ok(());
    }
    let mut reader = body.into_reader();
    loop {
        let mut bytes = vec![0; CHUNK];
        let count = reader.read(&mut bytes)?;
        bytes.truncate(count);
        let event = if count == 0 { Event::Ended } else { Event::Bytes(bytes) };
        if events.send(event).is_err() || count == 0 {
            return Ok(());
        }
    }
}

/// What the head of an answer says.
struct Begun {
    /// The first byte that comes.
    from: u64,
    /// The length of the whole file, if it is known.
    total: Option<u64>,
}

impl Begun {
    fn understand(status: StatusCode, headers: &HeaderMap, had: u64) -> Result<Self> {
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        match status {
            StatusCode::OK => Ok(Self { from: 0, total: text(CONTENT_LENGTH).and_then(|length| length.parse().ok()) }),
            StatusCode::PARTIAL_CONTENT => {
                let range = text(CONTENT_RANGE).unwrap_or_default();
                let (from, total) = parse_range(range).with_context(|| format!("`{range}` is not a range of bytes"))?;
                ensure!(from == had, "the bytes from {had} were asked for, those from {from} came");
                Ok(Self { from, total })
            }
            other => bail!("the server answers {other}"),
        }
    }
}

/// The first byte and the length of the whole in `bytes 5-9/10`.
fn parse_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (from, _) = range.split_once('-')?;
    Some((from.trim().parse().ok()?, total.trim().parse().ok()))
}
