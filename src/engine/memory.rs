//! How much memory the process has used, and how much it may use.

use std::path::Path;

use crate::fs;

/// The largest amount of memory, in bytes, that this process has held at once; `None` where the system does not say
/// (anything but Linux).
pub fn peak_memory() -> Option<u64> {
    parse_kibibytes(&read("/proc/self/status")?, "VmHWM:")
}

/// Memory that this process may still take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Available {
    /// Bytes.
    pub bytes: u64,
    /// Who sets the limit.
    pub limit: Limit,
}

/// Who sets a limit to memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limit {
    /// The machine.
    Machine,
    /// The control group that the process runs in, such as a container.
    Group,
    /// `ulimit -v` or `ulimit -d`.
    Process,
}

/// How much memory this process may still take: the least that the machine, its control group and its own limits leave. `None`
/// where the system does not say.
pub fn available_memory() -> Option<Available> {
    let machine = read("/proc/meminfo").and_then(|text| parse_kibibytes(&text, "MemAvailable:"));
    let limits = [(machine, Limit::Machine), (of_group(), Limit::Group), (of_process(), Limit::Process)];
    let known = limits.into_iter().filter_map(|(bytes, limit)| Some(Available { bytes: bytes?, limit }));
    known.min_by_key(|available| available.bytes)
}

/// What the control group leaves, by version 2 or 1 of the interface: its limit without what its processes hold. Files in memory can be
/// given up.
fn of_group() -> Option<u64> {
    let groups = read("/proc/self/cgroup").unwrap_or_default();
    let own = |controller: &str| {
        let of_controller =
            |line: &&str| line.split(':').nth(1).is_some_and(|names| names.split(',').any(|name| name == controller));
        groups
            .lines()
            .find(of_controller)
            .and_then(|line| line.splitn(3, ':').nth(2))
            .unwrap_or("/")
            .trim_end_matches('/')
            .to_owned()
    };
    let left = |folder: String, limit: &str, held: &str| {
        let limit: u64 = read(&format!("{folder}/{limit}"))?.trim().parse().ok()?;
        let held = read(&format!("{folder}/memory.stat")).and_then(|text| parse_count(&text, held)).unwrap_or(0);
        Some(limit.saturating_sub(held))
    };
    // The limits of the groups above count too. In a container the group's own folder may not be there, but that of the container.
    let folders = |root: &str, own: String| -> Vec<String> {
        let above = Path::new(&own).ancestors().map(|group| format!("{root}{}", group.display()));
        above.chain([root.to_owned()]).collect()
    };
    let second = folders("/sys/fs/cgroup", own("")).into_iter().filter_map(|folder| left(folder, "memory.max", "anon"));
    let first = folders("/sys/fs/cgroup/memory", own("memory"));
    let first = first.into_iter().filter_map(|folder| left(folder, "memory.limit_in_bytes", "total_rss"));
    second.chain(first).min()
}

/// What the limits of the process leave.
fn of_process() -> Option<u64> {
    let (limits, status) = (read("/proc/self/limits")?, read("/proc/self/status")?);
    let left = |limit: &str, held: &str| Some(parse_limit(&limits, limit)?.saturating_sub(parse_kibibytes(&status, held)?));
    let all = [left("Max address space", "VmSize:"), left("Max data size", "VmData:")];
    all.into_iter().flatten().min()
}

fn read(path: &str) -> Option<String> {
    fs::read_text(Path::new(path)).ok()
}

/// Reads a line like `VmHWM:   123456 kB`.
fn parse_kibibytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// Reads a line like `anon 123456`.
fn parse_count(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?.trim().parse().ok()
}

/// Reads the soft limit of a line like `Max address space   5120000000   unlimited   bytes`; `None` where there is none.
fn parse_limit(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_is_read() {
        let status = "Name:\tpipeline\nVmHWM:\t  2048 kB\nVmRSS:\t 1 kB\n";
        assert_eq!(parse_kibibytes(status, "VmHWM:"), Some(2 * 1024 * 1024));
        assert_eq!(parse_kibibytes("Name:\tpipeline\n", "VmHWM:"), None);
        assert_eq!(parse_count("anon_thp 5\nanon 7\n", "anon"), Some(7));
        let limits = "Max address space         5120000000           unlimited            bytes     \nMax data size   unlimited   unlimited bytes";
        assert_eq!(parse_limit(limits, "Max address space"), Some(5_120_000_000));
        assert_eq!(parse_limit(limits, "Max data size"), None);
    }

    #[test]
    fn this_process_has_used_memory_and_may_use_more() {
        if cfg!(target_os = "linux") {
            assert!(peak_memory().is_some_and(|bytes| bytes > 100_000));
            assert!(available_memory().is_some_and(|available| available.bytes > 1_000_000));
        }
    }
}
