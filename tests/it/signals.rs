//! Signals, as a terminal or the system sends them.
#![cfg(unix)]

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::workshop::Workshop;

#[test]
fn one_signal_ends_a_run_that_still_waits_for_its_own_file() {
    let workshop = Workshop::new();
    assert!(Command::new("mkfifo").arg(workshop.path("pipeline.yaml")).status().unwrap().success());
    for verb in ["run", "export"] {
        let mut child = workshop.command(&[verb]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(300));
        assert!(child.try_wait().unwrap().is_none(), "it waits for the other end");
        assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
        let end = Instant::now() + Duration::from_secs(20);
        while child.try_wait().unwrap().is_none() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
        }
        child.kill().unwrap(); // nothing to a process that has ended
        assert_eq!(child.wait().unwrap().signal(), Some(15), "{verb}");
    }
}
