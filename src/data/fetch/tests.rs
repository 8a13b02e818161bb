//! Fetching from folders and from a small HTTP server on this machine.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::ensure;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use ureq::tls::{Certificate, RootCerts};

use super::download::{Request, download};
use super::*;
use crate::data::merge::{MergeOptions, merge};
use crate::fs;
use crate::progress::{Interrupted, Silent};

/// How the server answers its requests.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    /// As it should, ranges included.
    Good,
    /// Ranges are ignored.
    WithoutRanges,
    /// The first answer breaks off in the middle.
    BreaksOnce,
    /// After some bytes nothing more comes.
    Stalls,
    /// There is no such file.
    Missing,
    /// Byte after byte, slowly and for ever.
    Drips,
    /// More than there is, for ever, with no length in the head.
    Endless,
    /// More than there is, and the head says so.
    Longer,
    /// Always elsewhere, at the same server.
    Elsewhere,
}

/// A server of one file; it notes the ranges that it was asked for.
struct Server {
    address: String,
    ranges: Arc<Mutex<Vec<Option<u64>>>>,
}

impl Server {
    fn start(content: &'static [u8], manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let ranges = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&ranges);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, noted) = (stream.unwrap(), Arc::clone(&noted));
                // A client that hangs up in the middle is part of some tests.
                std::thread::spawn(move || _ = answer(&mut &stream, content, manner, &noted));
            }
        });
        Self { address, ranges }
    }

    fn ranges(&self) -> Vec<Option<u64>> {
        self.ranges.lock().unwrap().clone()
    }
}

fn answer(
    stream: &mut (impl Read + Write),
    content: &[u8],
    manner: Manner,
    ranges: &Mutex<Vec<Option<u64>>>,
) -> std::io::Result<()> {
    let mut asked = None;
    for line in BufReader::new(&mut *stream).lines() {
        let line = line?.to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(range) = line.strip_prefix("range: bytes=") {
            asked = range.trim_end_matches('-').parse::<u64>().ok();
        }
    }
    let nth = {
        let mut ranges = ranges.lock().unwrap();
        ranges.push(asked);
        ranges.len()
    };
    let total = content.len();
    let from = if manner == Manner::WithoutRanges { 0 } else { asked.unwrap_or(0) as usize };
    let head = match (manner, from) {
        (Manner::Missing, _) => "404 Not Found\r\nContent-Length: 0".to_owned(),
        (Manner::Drips | Manner::Endless, _) => "200 OK".to_owned(),
        (Manner::Longer, _) => format!("200 OK\r\nContent-Length: {}", total + 1),
        (Manner::Elsewhere, _) => format!("302 Found\r\nLocation: /{nth}\r\nContent-Length: 0"),
        (_, from) if from > 0 && from >= total => "416 Range Not Satisfiable\r\nContent-Length: 0".to_owned(),
        (_, 0) => format!("200 OK\r\nContent-Length: {total}"),
        (_, from) => {
            let (last, length) = (total - 1, total - from);
            format!("206 Partial Content\r\nContent-Range: bytes {from}-{last}/{total}\r\nContent-Length: {length}")
        }
    };
    write!(stream, "HTTP/1.1 {head}\r\nConnection: close\r\n\r\n")?;
    match manner {
        Manner::Missing | Manner::Elsewhere => Ok(()),
        Manner::Drips => loop {
            stream.write_all(b"x")?;
            std::thread::sleep(Duration::from_millis(20));
        },
        Manner::Endless => loop {
            stream.write_all(content)?;
        },
        Manner::BreaksOnce if nth == 1 => stream.write_all(&content[..total / 2]),
        Manner::Stalls => {
            stream.write_all(&content[from..from + 10])?;
            std::thread::sleep(Duration::from_secs(20));
            Ok(())
        }
        _ => stream.write_all(content.get(from..).unwrap_or_default()),
    }
}

const CONTENT: &[u8] = b"some bytes that are long enough to be sent in two pieces, one after the other";

/// Downloads from a server that answers in a manner, with some bytes there already.
struct Case {
    server: Server,
    dir: tempfile::TempDir,
}

impl Case {
    fn new(manner: Manner, there: &[u8]) -> Self {
        let case = Self { server: Server::start(CONTENT, manner), dir: tempfile::tempdir().unwrap() };
        if !there.is_empty() {
            fs::write(&case.dir.path().join("x.gz.partial"), there).unwrap();
        }
        case
    }

    fn download(&self, expected: &'static [u8], progress: &dyn Progress) -> Result<(), DataError> {
        let target = self.dir.path().join("x.gz");
        let url = format!("{}/x.gz", self.server.address);
        let (bytes, patience) = (CONTENT.len() as u64, Duration::from_millis(400));
        let request = Request { url, target: &target, bytes, patience, trust: RootCerts::WebPki };
        let check = |path: &Path| {
            ensure!(fs::read(path)? == expected, "the sum differs");
            Ok(())
        };
        download(&request, &check, progress)
    }

    /// Checks that the file arrives, and from which bytes on it was asked for.
    fn arrives(&self, ranges: &[Option<u64>]) {
        self.download(CONTENT, &Silent).unwrap();
        assert_eq!(fs::entries(self.dir.path()).unwrap(), ["x.gz"]);
        assert_eq!(fs::read(&self.dir.path().join("x.gz")).unwrap(), CONTENT);
        assert_eq!(self.server.ranges(), ranges);
    }

    fn error(&self, expected: &'static [u8]) -> String {
        let error = self.download(expected, &Silent).unwrap_err().to_string();
        error.replace(&self.server.address, "http://SERVER")
    }
}

#[test]
fn a_file_is_downloaded_and_resumed() {
    let half = CONTENT.len() as u64 / 2;
    Case::new(Manner::Good, b"").arrives(&[None]);
    Case::new(Manner::Good, &CONTENT[..20]).arrives(&[Some(20)]);
    Case::new(Manner::Good, CONTENT).arrives(&[]);
    Case::new(Manner::BreaksOnce, b"").arrives(&[None, Some(half)]);
    Case::new(Manner::WithoutRanges, &CONTENT[..20]).arrives(&[Some(20)]);
}

#[test]
fn what_was_there_of_another_file_is_thrown_away() {
    Case::new(Manner::Good, b"something else").arrives(&[Some(14), None]);
    let longer = [CONTENT, b"and more"].concat();
    Case::new(Manner::Good, &longer).arrives(&[None]);
}

#[cfg(unix)]
#[test]
fn a_link_in_place_of_the_part_is_not_followed() {
    let case = Case::new(Manner::Good, b"");
    let victim = case.dir.path().join("victim");
    fs::write(&victim, b"precious").unwrap();
    std::os::unix::fs::symlink("victim", case.dir.path().join("x.gz.partial")).unwrap();
    case.download(CONTENT, &Silent).unwrap();
    assert_eq!(fs::read(&victim).unwrap(), b"precious");
    assert_eq!(fs::read(&case.dir.path().join("x.gz")).unwrap(), CONTENT);
}

#[test]
fn a_wrong_sum_leaves_nothing() {
    let case = Case::new(Manner::Good, b"");
    insta::assert_snapshot!(case.error(b"other"), @"the sum differs");
    assert!(fs::entries(case.dir.path()).unwrap().is_empty());
}

#[test]
fn a_missing_file_and_a_silent_server_are_named() {
    let case = Case::new(Manner::Missing, b"");
    insta::assert_snapshot!(case.error(CONTENT), @"http://SERVER/x.gz: the server answers 404 Not Found");
    assert_eq!(case.server.ranges().len(), 1, "asking again would be of no use");
    let case = Case::new(Manner::Stalls, b"");
    let error = case.error(CONTENT);
    assert!(error.contains("http://SERVER/x.gz"), "{error}");
    assert_eq!(fs::read(&case.dir.path().join("x.gz.partial")).unwrap().len(), 30, "each of three attempts went on");
}

#[test]
fn a_server_cannot_fill_the_disk_or_hold_the_program_up() {
    let check = |manner, why: &str, requests: usize| {
        let case = Case::new(manner, b"");
        let begun = Instant::now();
        assert_eq!(case.error(CONTENT), format!("http://SERVER/x.gz: {why}"));
        assert_eq!(case.server.ranges().len(), requests, "{why}");
        assert!(begun.elapsed() < Duration::from_secs(10), "{why}");
        let left: u64 =
            fs::entries(case.dir.path()).unwrap().iter().map(|name| fs::stamp(&case.dir.path().join(name)).unwrap().bytes).sum();
        assert!(left <= CONTENT.len() as u64, "{left} bytes are left");
    };
    check(Manner::Endless, "the server sends more than the 77 bytes that were published", 1);
    check(Manner::Longer, "the server has 78 bytes, not the 77 as published", 1);
    check(Manner::Drips, "fewer than 4000 bytes arrived a second", 3);
    let case = Case::new(Manner::Elsewhere, b"");
    let error = case.error(CONTENT);
    assert!(error.starts_with("http://SERVER/x.gz: ") && error.contains("redirect"), "{error}");
    assert!(case.server.ranges().len() <= 20, "redirects are followed a few times only");
}

#[test]
fn https_is_spoken_and_a_server_that_nobody_vouches_for_is_refused() {
    let certificate = include_bytes!("samples/localhost.der");
    let key = PrivatePkcs8KeyDer::from(include_bytes!("samples/localhost.key.der").as_slice());
    let chain = vec![CertificateDer::from(certificate.as_slice())];
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(builder.with_no_client_auth().with_single_cert(chain, key.into()).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut session =
                rustls::StreamOwned::new(rustls::ServerConnection::new(Arc::clone(&config)).unwrap(), stream.unwrap());
            _ = answer(&mut session, CONTENT, Manner::Good, &Mutex::default());
            session.conn.send_close_notify();
            _ = session.flush();
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("x.gz");
    let download = |trust| {
        let (url, bytes, patience) = (format!("{address}/x.gz"), CONTENT.len() as u64, Duration::from_secs(5));
        download(&Request { url, target: &target, bytes, patience, trust }, &|_| Ok(()), &Silent)
    };
    let error = download(RootCerts::WebPki).unwrap_err().to_string();
    assert!(error.contains("certificate"), "{error}");
    assert!(!target.exists());
    download(vec![Certificate::from_der(certificate)].into()).unwrap();
    assert_eq!(fs::read(&target).unwrap(), CONTENT);
}

/// Interrupts when told to.
struct Stop {
    after: usize,
    heard: AtomicUsize,
    stopped: AtomicBool,
}

impl Progress for Stop {
    fn begin(&self, _: &str, _: u64, _: &str) {}
    fn advance(&self, _: u64, _: &str) {
        if self.heard.fetch_add(1, Ordering::Relaxed) + 1 >= self.after {
            self.stopped.store(true, Ordering::Relaxed);
        }
    }
    fn note(&self, _: &str) {}
    fn warn(&self, _: &str) {}
    fn interrupted(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }
}

#[test]
fn an_interruption_is_noticed_while_nothing_comes_and_what_came_is_kept() {
    let case = Case::new(Manner::Stalls, b"");
    let progress = Stop { after: 2, heard: AtomicUsize::new(0), stopped: AtomicBool::new(false) };
    let result = case.download(CONTENT, &progress);
    assert!(matches!(result, Err(DataError::Interrupted(Interrupted))));
    assert_eq!(fs::read(&case.dir.path().join("x.gz.partial")).unwrap(), CONTENT[..10]);
}

fn options(dir: &Path, more: &str) -> FetchOptions {
    let dir = serde_json::Value::from(dir.to_str().unwrap());
    serde_json::from_str(&format!(r#"{{"dataset": "fashion-mnist", "dir": {dir}, "offline": true {more}}}"#)).unwrap()
}

const FEW: &str = r#", "garments": {"train": 13, "test": 4}"#;

#[test]
fn without_data_everything_that_was_tried_is_listed() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let name = |text: String| text.replace(dir.path().to_str().unwrap(), "DIR").replace(other.path().to_str().unwrap(), "OTHER");
    let error = |options: &FetchOptions, data_dir| name(fetch(options, data_dir, Seed::new(1), &Silent).unwrap_err().to_string());
    insta::assert_snapshot!(error(&options(dir.path(), ""), None), @r#"
Fashion-MNIST could not be had. Tried:
- CSV files in `DIR`: `Fashion Train Data 1.csv` and 6 more are missing
- IDX files in `DIR`: `train-images-idx3-ubyte.gz` is missing
- a data folder: neither `--data-dir` nor `FASHION_MNIST_DIR` names one
- download from http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/: `offline: true` forbids it
Put its files into one of these folders, or add `otherwise: garments` to go on with a synthetic set
"#);
    fs::write(&other.path().join("train-images-idx3-ubyte.gz"), b"damaged").unwrap();
    insta::assert_snapshot!(error(&options(dir.path(), ""), Some(other.path())), @r#"
Fashion-MNIST could not be had. Tried:
- CSV files in `DIR`: `Fashion Train Data 1.csv` and 6 more are missing
- CSV files in `OTHER`, the data folder: they are not all there
- IDX files in `DIR`: `train-images-idx3-ubyte.gz` is missing
- IDX files in `OTHER`: `OTHER/train-images-idx3-ubyte.gz` has 7 bytes, not 26421880 as published
- download from http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/: `offline: true` forbids it
Put its files into one of these folders, or add `otherwise: garments` to go on with a synthetic set
"#);
    let server = Server::start(CONTENT, Manner::Good);
    let online = FetchOptions { offline: false, url: server.address.clone(), ..options(dir.path(), "") };
    let told = error(&online, None).replace(&server.address, "http://SERVER");
    let last = told.lines().find(|line| line.contains("SERVER")).unwrap();
    insta::assert_snapshot!(last, @"- download from http://SERVER: http://SERVER/train-images-idx3-ubyte.gz: the server has 77 bytes, not the 26421880 as published");
}

#[test]
fn a_file_of_another_data_set_under_a_published_name_is_not_written_over() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("train-images-idx3-ubyte.gz");
    fs::write(&file, b"images of digits").unwrap();
    let server = Server::start(CONTENT, Manner::Good);
    let online = FetchOptions { offline: false, url: server.address.clone(), ..options(dir.path(), "") };
    let error = fetch(&online, None, Seed::new(1), &Silent).unwrap_err().to_string();
    let told = "has 16 bytes, not 26421880 as published, and nothing is written over it; move it away to have it downloaded";
    assert!(error.contains(told), "{error}");
    assert!(server.ranges().is_empty(), "it was downloaded");
    assert_eq!(fs::read(&file).unwrap(), b"images of digits");
}

#[test]
fn garments_take_the_place_of_data_only_where_that_is_allowed_and_are_announced() {
    struct Warned(Mutex<String>);
    impl Progress for Warned {
        fn begin(&self, _: &str, _: u64, _: &str) {}
        fn advance(&self, _: u64, _: &str) {}
        fn note(&self, _: &str) {}
        fn warn(&self, line: &str) {
            self.0.lock().unwrap().push_str(line);
        }
        fn interrupted(&self) -> bool {
            false
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let options = options(dir.path(), &format!(r#", "otherwise": "garments" {FEW}"#));
    let warned = Warned(Mutex::default());
    let list = fetch(&options, None, Seed::new(1), &warned).unwrap();
    assert!(warned.0.lock().unwrap().starts_with("Fashion-MNIST could not be had, so SYNTHETIC garments take its place"));
    assert!(list.synthetic && list.name == "garments" && list.dir == dir.path().join("garments"));
    assert_eq!(fs::entries(dir.path()).unwrap(), ["garments"], "nothing stands under the official names");

    let out = tempfile::tempdir().unwrap();
    list.save(out.path()).unwrap();
    let list = FileList::load(out.path()).unwrap();
    let merged: MergeOptions =
        serde_json::from_str(r#"{"data": "raw", "train": "Fashion Train Data {1..6}.csv", "test": "Fashion Test Data.csv"}"#)
            .unwrap();
    let merged = merge(&merged, Path::new("elsewhere"), Some(&list), &Silent).unwrap();
    assert!(merged.data.info.synthetic);
    assert_eq!((merged.data.train.len(), merged.data.test.unwrap().len()), (13, 4));
    assert_eq!(merged.data.train, super::super::garments::images(Seed::new(1).child("train"), 13));
}

#[test]
fn garments_are_drawn_again_only_if_they_must_be() {
    let dir = tempfile::tempdir().unwrap();
    let options = FetchOptions { dataset: Dataset::Garments, ..options(dir.path(), FEW) };
    let file = dir.path().join("garments/Fashion Train Data 3.csv");
    let run = |options: &FetchOptions, seed| {
        let list = fetch(options, None, Seed::new(seed), &Silent).unwrap();
        (list, fs::stamp(&file).unwrap())
    };
    let (list, first) = run(&options, 1);
    assert_eq!(run(&options, 1), (list.clone(), first.clone()), "not even touched");
    let more = FetchOptions { garments: GarmentCounts { train: Count::new(14).unwrap(), ..options.garments }, ..options.clone() };
    assert_ne!(run(&options, 2).0.files, list.files);
    assert_ne!(run(&more, 1).0.files, list.files);
    assert_eq!(run(&options, 1).0, list, "the same seed draws the same files");
    fs::write(&file, b"label\n").unwrap();
    assert_eq!(run(&options, 1).0, list, "a damaged file is mended");
}

/// The whole way from the published files; needs them in `FASHION_MNIST_DIR`.
#[test]
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn published_files_become_tables_that_are_kept() {
    let Some(source) = std::env::var_os("FASHION_MNIST_DIR") else {
        eprintln!("skipped: FASHION_MNIST_DIR names no folder with the published files");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let run = || fetch(&options(dir.path(), ""), Some(Path::new(&source)), Seed::new(1), &Silent);
    let list = run().unwrap();
    assert!(!list.synthetic);
    assert_eq!(list.files.len(), 7);
    let last = dir.path().join("Fashion Train Data 6.csv");
    let stamp = fs::stamp(&last);
    fs::remove(&dir.path().join("Fashion Train Data 1.csv")).unwrap();
    assert_eq!(run().unwrap(), list, "what is missing is made again");
    assert_eq!(fs::stamp(&last), stamp, "what is there is left alone");
    let short: Vec<u8> = fs::read(&last).unwrap().split_inclusive(|&byte| byte == b'\n').take(50).flatten().copied().collect();
    fs::write(&last, short).unwrap();
    let error = run().unwrap_err().to_string();
    assert!(error.contains("holds 49 rows where 10000 are expected"), "{error}");
}
