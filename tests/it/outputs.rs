//! Where `score` and `merge-shards` write as a user says: never over what they read, and through devices, FIFOs and links.
#![cfg(unix)]

use std::fs::File;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use crate::scoring::{SCORE, workshop};

#[test]
fn an_output_that_is_an_input_ends_with_code_2_and_leaves_every_file_as_it_was() {
    let workshop = workshop(40);
    std::fs::hard_link(workshop.path("x.csv"), workshop.path("hard.csv")).unwrap();
    symlink("x.csv", workshop.path("link.csv")).unwrap();
    std::fs::create_dir(workshop.path("sub")).unwrap();
    let (table, model) = (workshop.read("x.csv"), std::fs::read(workshop.path("net.onnx")).unwrap());
    let names = || {
        let mut names: Vec<_> = std::fs::read_dir(workshop.path("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = names();
    let skip = ["--on-error", "skip", "--rejects"];
    for arguments in [
        vec!["-o", "x.csv"],
        vec!["-o", "./x.csv"],
        vec!["-o", "sub/../x.csv"],
        vec!["-o", "none/../x.csv"],
        vec!["-o", "hard.csv"],
        vec!["-o", "link.csv"],
        vec!["-o", "net.onnx", "--format", "csv"],
        vec!["-o", "y.csv", skip[0], skip[1], skip[2], "x.csv"],
        vec!["-o", "y.csv", skip[0], skip[1], skip[2], "sub/../net.onnx"],
        vec!["-o", "y.csv", skip[0], skip[1], skip[2], "./y.csv"],
        vec!["-o", "y.csv", skip[0], skip[1], skip[2], "y.csv.partial"],
        vec!["-o", "y.csv", skip[0], skip[1], skip[2], "y.csv.journal"],
        vec!["-o", "y.csv", skip[0], skip[1], skip[2], "y.csv.manifest.json"],
        vec!["-o", "-", skip[0], skip[1], skip[2], "x.csv"],
    ] {
        let run = workshop.pipeline(&[&SCORE[..], &arguments].concat()).expect(2).says("are one file");
        assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
        assert!(workshop.read("x.csv") == table && std::fs::read(workshop.path("net.onnx")).unwrap() == model, "{arguments:?}");
        assert_eq!(names(), before, "{arguments:?}");
    }
    workshop.pipeline(&[&SCORE[..], &["-o", "sub"]].concat()).expect(2).says("the predictions `sub` is a folder");
}

#[test]
fn streams_that_are_redirected_to_an_input_are_known_as_it() {
    let workshop = workshop(40);
    let table = workshop.read("x.csv");
    let append = || File::options().append(true).open(workshop.path("x.csv")).unwrap();
    let status = workshop.command(&[&SCORE[..], &["-o", "-"]].concat()).stdout(append()).stderr(Stdio::null()).status().unwrap();
    assert_eq!(status.code(), Some(2), "`>> x.csv` would read what it writes");
    let read = || File::open(workshop.path("x.csv")).unwrap();
    let from_stdin = ["score", "-m", "net.onnx", "-i", "-", "-o", "x.csv"];
    let status = workshop.command(&from_stdin).stdin(read()).stderr(Stdio::null()).status().unwrap();
    assert_eq!(status.code(), Some(2), "`< x.csv -o x.csv` would replace it");
    assert_eq!(workshop.read("x.csv"), table);
}

#[test]
fn devices_fifos_and_links_are_written_through() {
    let workshop = workshop(40);
    workshop.pipeline(&[&SCORE[..], &["-o", "y.csv"]].concat()).expect(0);
    let expected = workshop.read("y.csv");

    workshop.pipeline(&[&SCORE[..], &["-o", "/dev/null"]].concat()).expect(0).says("40 rows");
    assert!(std::fs::metadata("/dev/null").unwrap().file_type().is_char_device());
    workshop.pipeline(&[&SCORE[..], &["-o", "/dev/null", "--resume"]].concat()).expect(2).says("give an output file");

    let fifo = workshop.path("fifo.csv");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let reader = {
        let fifo = fifo.clone();
        std::thread::spawn(move || std::fs::read_to_string(fifo).unwrap())
    };
    workshop.pipeline(&[&SCORE[..], &["-o", "fifo.csv"]].concat()).expect(0);
    assert!(reader.join().unwrap() == expected);
    assert!(std::fs::symlink_metadata(&fifo).unwrap().file_type().is_fifo());
    assert!(!workshop.path("fifo.csv.manifest.json").exists() && !workshop.path("fifo.csv.partial").exists());

    std::fs::create_dir(workshop.path("far")).unwrap();
    symlink("far/z.csv", workshop.path("link.csv")).unwrap();
    for _ in 0..2 {
        workshop.pipeline(&[&SCORE[..], &["-o", "link.csv"]].concat()).expect(0);
        assert!(workshop.read("far/z.csv") == expected && workshop.path("link.csv").is_symlink());
    }

    if cfg!(target_os = "linux") {
        for name in ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] {
            let run = workshop.pipeline(&[&SCORE[..], &["-o", name]].concat()).expect(0);
            assert!(run.stdout == expected, "{name}");
        }
        let file = File::create(workshop.path("redirected.csv")).unwrap();
        let status = workshop.command(&[&SCORE[..], &["-o", "/dev/stdout"]].concat()).stdout(file).stderr(Stdio::null()).status();
        assert!(status.unwrap().success() && workshop.read("redirected.csv") == expected);
        assert!(!std::path::Path::new("/dev/stdout.manifest.json").exists());
    }

    // One socket for both ends, as a network daemon gives its child.
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let mut child = workshop
        .command(&["score", "-m", "net.onnx", "-i", "-", "-o", "-"])
        .stdin(OwnedFd::from(theirs.try_clone().unwrap()))
        .stdout(OwnedFd::from(theirs))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (table, mut input) = (workshop.read("x.csv"), ours.try_clone().unwrap());
    let feeding = std::thread::spawn(move || input.write_all(table.as_bytes()).and_then(|()| input.shutdown(Shutdown::Write)));
    let mut found = String::new();
    ours.read_to_string(&mut found).unwrap();
    assert!(child.wait().unwrap().success() && found == expected);
    feeding.join().unwrap().unwrap();
}

#[test]
fn one_signal_ends_the_wait_for_a_fifo_that_nobody_reads() {
    let workshop = workshop(4);
    assert!(Command::new("mkfifo").arg(workshop.path("fifo.csv")).status().unwrap().success());
    let mut command = workshop.command(&[&SCORE[..], &["-o", "fifo.csv"]].concat());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(child.try_wait().unwrap().is_none(), "it waits for the other end");
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn what_could_be_scored_in_no_row_is_no_success() {
    let workshop = workshop(20);
    let text: String = workshop
        .read("x.csv")
        .lines()
        .enumerate()
        .map(|(row, line)| format!("{line}{}\n", if row > 0 { ",1" } else { "" }))
        .collect();
    workshop.write("x.csv", text);
    for on_error in ["skip", "null"] {
        workshop
            .pipeline(&[&SCORE[..], &["-o", "y.csv", "--on-error", on_error, "--rejects", "r.csv"]].concat())
            .expect(1)
            .says("none of the 20 rows could be scored; the first: `x.csv`: row 1 (line 2)");
        assert!(!workshop.path("y.csv").exists() && !workshop.path("y.csv.partial").exists());
        assert_eq!(workshop.read("r.csv").lines().count(), 21);
    }
}
