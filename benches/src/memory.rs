//! The most resident memory of a process, as the kernel counts it (`VmHWM`); only Linux tells.

/// Of this process so far, in bytes.
pub fn peak_bytes() -> Option<u64> {
    peak_in(&std::fs::read_to_string("/proc/self/status").ok()?)
}

/// The same in whole MiB, for people.
pub fn peak_mib() -> String {
    peak_bytes().map_or("unknown".into(), |bytes| (bytes >> 20).to_string())
}

/// In the text of `/proc/PID/status`, in bytes.
pub fn peak_in(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_read_from_the_status_of_a_process() {
        assert_eq!(peak_in("Name:\teve\nVmHWM:\t   18036 kB\nVmRSS:\t 1 kB\n"), Some(18_036 * 1024));
        assert_eq!(peak_in("Name:\teve\n"), None, "a process that has ended");
    }
}
