//! What the system lets the server have: open files, socket buffers, processors.

use super::Findings;
use guildhall_sfu::SOCKET_BUFFER;
use std::fs;

/// A connection is an open file; so many are a community of some thousands, each with a few of them.
const OPEN_FILES: u64 = 16_384;
/// Below this even a small community is refused.
const FEW_OPEN_FILES: u64 = 1_024;

pub fn examine(findings: &mut Findings) {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    match open_files(&limits) {
        Some(limit) => judge_open_files(limit, findings),
        None => findings.warn("open files", "The limit of open files is not known.", "Look at `ulimit -n`."),
    }
    for (name, path) in
        [("net.core.rmem_max", "/proc/sys/net/core/rmem_max"), ("net.core.wmem_max", "/proc/sys/net/core/wmem_max")]
    {
        // Containers without the host's network do not show them.
        match fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok()) {
            Some(bytes) => judge_buffer(name, bytes, findings),
            None => findings.warn("UDP buffers", format!("{name} cannot be read here."), "Look at it on the host."),
        }
    }
}

/// The soft limit in the text of `/proc/self/limits`; `u64::MAX` for none.
fn open_files(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_ascii_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

fn judge_open_files(limit: u64, findings: &mut Findings) {
    let says = format!("A process that is started from here may have {limit} files and connections open.");
    let advice =
        "Raise it: LimitNOFILE=65536 in a systemd unit, --ulimit nofile=65536 for a container, `ulimit -n 65536` in a shell.";
    match limit {
        ..FEW_OPEN_FILES => findings.fail("open files", says, advice),
        FEW_OPEN_FILES..OPEN_FILES => findings.warn("open files", says, advice),
        _ => findings.good("open files", says),
    }
}

fn judge_buffer(name: &str, bytes: u64, findings: &mut Findings) {
    let wanted = SOCKET_BUFFER as u64;
    if bytes >= wanted {
        return findings.good("UDP buffers", format!("{name} is {bytes}."));
    }
    findings.warn(
        "UDP buffers",
        format!("{name} is {bytes}: bursts of voice in large rooms are lost beyond that; {wanted} is asked for."),
        format!("Put {name}={wanted} in /etc/sysctl.d/guildhall.conf and run `sysctl --system`."),
    );
}

#[cfg(test)]
mod tests {
    use super::super::{Findings, Level};
    use super::*;

    #[test]
    fn the_limit_of_open_files_is_read_and_judged() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
                      Max processes             100                  200                  processes\n\
                      Max open files            1024                 524288               files\n";
        assert_eq!(open_files(limits), Some(1024));
        assert_eq!(open_files("Max open files   unlimited unlimited files"), Some(u64::MAX));
        assert_eq!(open_files("Max processes 1 2"), None);
        for (limit, level) in [(256, Level::Error), (1_024, Level::Warning), (65_536, Level::Good)] {
            let mut findings = Findings::default();
            judge_open_files(limit, &mut findings);
            assert_eq!(findings.0[0].level, level, "{limit}");
            assert_eq!(findings.0[0].advice.is_empty(), level == Level::Good);
        }
    }

    #[test]
    fn a_small_socket_buffer_is_named_with_what_to_set() {
        let mut findings = Findings::default();
        judge_buffer("net.core.rmem_max", 212_992, &mut findings);
        judge_buffer("net.core.wmem_max", 1 << 24, &mut findings);
        assert_eq!((findings.0[0].level, findings.0[1].level), (Level::Warning, Level::Good));
        assert!(findings.0[0].advice.contains("net.core.rmem_max=4194304"), "{findings:?}");
    }
}
