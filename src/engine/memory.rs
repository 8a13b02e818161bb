//! How much memory the process has used.

use std::path::Path;

use crate::fs;

/// The largest amount of memory, in bytes, that this process has held at once; `None` where the system does not say
/// (anything but Linux).
pub fn peak_memory() -> Option<u64> {
    parse_peak(&fs::read_text(Path::new("/proc/self/status")).ok()?)
}

/// Reads the line `VmHWM:   123456 kB` of `/proc/<pid>/status`.
fn parse_peak(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_high_water_mark_is_read() {
        assert_eq!(parse_peak("Name:\tpipeline\nVmHWM:\t  2048 kB\nVmRSS:\t 1 kB\n"), Some(2 * 1024 * 1024));
        assert_eq!(parse_peak("Name:\tpipeline\n"), None);
        if cfg!(target_os = "linux") {
            assert!(peak_memory().is_some_and(|bytes| bytes > 100_000));
        }
    }
}
