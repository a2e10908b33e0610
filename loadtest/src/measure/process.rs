//! One process: its CPU and its memory.

use std::fs;

/// CPU of a process so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cpu {
    /// On a core, user and system, in nanoseconds.
    pub ran_ns: u64,
    /// Ready to run but without a core, in nanoseconds.
    pub waited_ns: u64,
}

impl Cpu {
    /// Of all threads of a process; `None` if there is no such process. Threads that ended meanwhile are not in it.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        let mut cpu = Self::default();
        for task in fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten() {
            let Ok(text) = fs::read_to_string(task.path().join("schedstat")) else { continue };
            let Some(of_task) = parse_schedstat(&text) else { continue };
            cpu.ran_ns += of_task.ran_ns;
            cpu.waited_ns += of_task.waited_ns;
        }
        Some(cpu)
    }

    /// Of several processes together; `None` if one of them is gone, or there is none.
    #[must_use]
    pub fn of_all(pids: &[u32]) -> Option<Self> {
        let all = pids.iter().map(|&pid| Self::of(pid)).collect::<Option<Vec<_>>>()?;
        all.into_iter().reduce(|a, b| Self { ran_ns: a.ran_ns + b.ran_ns, waited_ns: a.waited_ns + b.waited_ns })
    }

    /// The use since `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            ran_ns: self.ran_ns.saturating_sub(earlier.ran_ns),
            waited_ns: self.waited_ns.saturating_sub(earlier.waited_ns),
        }
    }
}

/// The proportional set size of several processes together, in bytes: what is shared counts once.
#[must_use]
pub fn pss_of_all(pids: &[u32]) -> Option<u64> {
    let all = pids.iter().map(|pid| parse_pss(&fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?));
    all.collect::<Option<Vec<_>>>()?.into_iter().reduce(|a, b| a + b)
}

/// Open files of several processes together. The kernel says how many; nothing is listed, as that would leave an inode
/// behind for each.
#[must_use]
pub fn open_files_of_all(pids: &[u32]) -> Option<u64> {
    let all = pids.iter().map(|pid| fs::metadata(format!("/proc/{pid}/fd")).ok().map(|folder| folder.len()));
    all.collect::<Option<Vec<_>>>()?.into_iter().reduce(|a, b| a + b).filter(|&files| files > 0)
}

fn parse_schedstat(text: &str) -> Option<Cpu> {
    let mut words = text.split_whitespace().map_while(|word| word.parse().ok());
    Some(Cpu { ran_ns: words.next()?, waited_ns: words.next()? })
}

fn parse_pss(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedstat_and_smaps_rollup_are_read() {
        assert_eq!(parse_schedstat("41 7 3\n"), Some(Cpu { ran_ns: 41, waited_ns: 7 }));
        assert_eq!(parse_schedstat("41"), None);
        let rollup =
            "55d0-7ff ---p 00000000 00:00 0    [rollup]\nRss:   9 kB\nPss:                 12 kB\nPss_Anon: 1 kB\n";
        assert_eq!(parse_pss(rollup), Some(12 * 1024));
        assert_eq!(parse_pss(""), None);
    }

    #[test]
    fn a_process_that_is_gone_has_no_figures() {
        let own = std::process::id();
        assert!(Cpu::of(own).is_some_and(|cpu| cpu.ran_ns > 0));
        assert!(pss_of_all(&[own]).is_some_and(|pss| pss > 0));
        assert_eq!(open_files_of_all(&[own, u32::MAX]), None);
        assert_eq!(Cpu::of_all(&[own, u32::MAX]), None);
        assert_eq!(pss_of_all(&[own, u32::MAX]), None);
        assert_eq!(Cpu::of_all(&[]), None);
    }
}
