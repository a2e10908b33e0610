//! How much memory the process may have, as the kernel tells it.

use std::fs;
use std::path::Path;

/// Bytes of memory that the process may have: those of the machine, or of its control group if that has fewer; `None` if
/// the kernel does not tell.
#[must_use]
pub fn memory_max() -> Option<u64> {
    memory_max_under(Path::new("/"))
}

fn memory_max_under(root: &Path) -> Option<u64> {
    let text = |path: &str| fs::read_to_string(root.join(path)).ok();
    let total = text("proc/meminfo").and_then(|meminfo| meminfo_len(&meminfo, "MemTotal"));
    let groups = text("proc/self/cgroup").unwrap_or_default();
    groups.lines().flat_map(|line| limits(line, &text)).chain(total).min()
}

/// A row of `/proc/meminfo`, in bytes. [proc_meminfo(5)]
#[must_use]
pub fn meminfo_len(meminfo: &str, name: &str) -> Option<u64> {
    let row = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    row.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// The limits of a control group and of all above it. A container sees its own group as the root, whatever name the line
/// has. [cgroups(7)]
fn limits(line: &str, text: &impl Fn(&str) -> Option<String>) -> Vec<u64> {
    let mut fields = line.splitn(3, ':');
    let (Some(_), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else {
        return Vec::new();
    };
    let (folder, file) = match controllers {
        "" => ("sys/fs/cgroup", "memory.max"),
        _ if controllers.split(',').any(|name| name == "memory") => ("sys/fs/cgroup/memory", "memory.limit_in_bytes"),
        _ => return Vec::new(),
    };
    let groups = Path::new(path.trim_start_matches('/')).ancestors();
    let read = |group: &Path| text(&format!("{folder}/{}/{file}", group.display()))?.trim().parse().ok();
    groups.filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// A folder with these files.
    fn host(name: &str, files: &[(&str, &str)]) -> PathBuf {
        let root = std::env::temp_dir().join(format!("fanwire-memory-{}-{name}", std::process::id()));
        for (path, text) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().expect("it has a folder")).expect("a folder of our own");
            fs::write(path, text).expect("a file of our own");
        }
        root
    }

    fn check(name: &str, files: &[(&str, &str)], expected: Option<u64>) {
        let root = host(name, files);
        assert_eq!(memory_max_under(&root), expected, "{name}");
        let _ = fs::remove_dir_all(root);
    }

    #[test]
    fn the_smallest_of_machine_and_control_groups_holds() {
        let meminfo = ("proc/meminfo", "MemTotal:        2048 kB\nMemFree:  1 kB\n");
        check("nothing", &[], None);
        check("machine", &[meminfo], Some(2 << 20));
        let v2 = [
            meminfo,
            ("proc/self/cgroup", "0::/system.slice/a.service\n"),
            ("sys/fs/cgroup/system.slice/a.service/memory.max", "max\n"),
            ("sys/fs/cgroup/system.slice/memory.max", "1048576\n"),
        ];
        check("v2", &v2, Some(1 << 20));
        let container = [meminfo, ("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/memory.max", "65536\n")];
        check("container", &container, Some(65_536));
        let v1 = [
            meminfo,
            ("proc/self/cgroup", "3:cpu,cpuacct:/x\n2:memory:/docker/1\n"),
            ("sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes", "524288\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
        ];
        check("v1", &v1, Some(512 << 10));
    }

    #[test]
    fn this_machine_has_some() {
        assert!(memory_max().is_some_and(|len| len > 64 << 20));
    }
}
