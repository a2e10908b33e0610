//! `scripts/tune.sh`: that it holds the doctor's table, and what it does to a host, which here is a folder.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/tune.sh");

/// A host's files under a folder of its own, removed at the end.
struct Host(PathBuf);

impl Host {
    /// A host as distributions ship it, with settings changed by `changes`.
    fn new(name: &str, changes: &[(&str, &str)]) -> Self {
        let root = std::env::temp_dir().join(format!("fanwire-tune-{}-{name}", std::process::id()));
        let host = Self(root);
        for (path, text) in SHIPPED.iter().chain(changes) {
            host.write(path, text);
        }
        host
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, text).expect("written");
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.0.join(path)).expect("it is there").trim().to_owned()
    }

    fn tune(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let output = Command::new("sh").arg(SCRIPT).args(arguments).env("FANWIRE_TUNE_ROOT", &self.0).output();
        ended(output.expect("there is a shell"))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const NR_OPEN: &str = "proc/sys/fs/nr_open";
const FILE_MAX: &str = "proc/sys/fs/file-max";
const TCP_MEM: &str = "proc/sys/net/ipv4/tcp_mem";
const SOMAXCONN: &str = "proc/sys/net/core/somaxconn";
const TW_BUCKETS: &str = "proc/sys/net/ipv4/tcp_max_tw_buckets";
const PORT_RANGE: &str = "proc/sys/net/ipv4/ip_local_port_range";
const CONNTRACK: &str = "proc/sys/net/netfilter/nf_conntrack_max";
const LIMITS: &str = "etc/security/limits.d/90-fanwire.conf";
const STATE: &str = "var/lib/fanwire/tune.undo";

const SHIPPED: [(&str, &str); 7] = [
    ("proc/self/limits", "Max open files            1024                 524288               files     \n"),
    (NR_OPEN, "1048576\n"),
    (FILE_MAX, "9223372036854775807\n"),
    (TCP_MEM, "287901\t383869\t575802\n"),
    (SOMAXCONN, "4096\n"),
    (TW_BUCKETS, "131072\n"),
    (PORT_RANGE, "32768\t60999\n"),
];

fn ended(output: Output) -> (Option<i32>, String, String) {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn doctor(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fanwire"));
    command.arg("doctor").args(arguments).env_clear().stdin(Stdio::null());
    ended(command.output().expect("the program starts")).1
}

#[test]
fn the_script_and_the_doctor_hold_the_same_table() {
    let host = Host::new("table", &[]);
    for connections in ["1", "3", "10000", "81929", "1000000", "10000000", "100000000"] {
        let arguments = ["--table", "--connections", connections];
        let (code, table, complaint) = host.tune(&arguments);
        assert_eq!((code, complaint.as_str()), (Some(0), ""));
        assert_eq!(table, doctor(&arguments), "{connections} connections");
        assert_eq!(table.lines().count(), 8, "{table}");
    }
}

#[test]
fn printing_changes_nothing_and_names_what_is_too_low() {
    let host = Host::new("print", &[]);
    let (code, text, complaint) = host.tune(&["--connections", "1000000"]);
    assert_eq!((code, complaint.as_str()), (Some(0), ""));
    for line in [
        "# fs.nr_open: 1048576 is enough",
        "# fs.file-max: 9223372036854775807 is enough",
        "# net.netfilter.nf_conntrack_max: not on this host",
        "# net.ipv4.tcp_mem: now 287901 383869 575802",
        "sysctl -w net.ipv4.tcp_mem=\"750000 1000000 1500000\"",
        "sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\"",
        "ulimit -Hn 1000128 && ulimit -n 1000128   # for systemd: LimitNOFILE=1000128",
    ] {
        assert!(text.lines().any(|given| given == line), "{line} in\n{text}");
    }
    let name_of =
        |line: &str| line.strip_prefix("sysctl -w ").and_then(|line| Some(line.split_once('=')?.0.to_owned()));
    let raised: Vec<_> = text.lines().filter_map(name_of).collect();
    assert_eq!(raised, ["net.ipv4.tcp_mem", "net.ipv4.ip_local_port_range"]);
    assert!(SHIPPED.iter().all(|(path, shipped)| host.read(path) == shipped.trim()));
    assert!(!host.0.join(LIMITS).exists() && !host.0.join(STATE).exists());
}

#[test]
fn what_was_applied_is_given_back_as_it_was_however_often_it_was_applied() {
    let host = Host::new("undo", &[(CONNTRACK, "262144\n")]);
    assert_eq!(host.tune(&["--connections", "1000000", "--apply"]).0, Some(0));
    assert_eq!(host.tune(&["--connections", "2000000", "--apply"]).0, Some(0));
    assert_eq!(host.read(NR_OPEN), "2000128");
    assert_eq!(host.read(TCP_MEM), "1500000 2000000 3000000");
    assert_eq!(host.read(CONNTRACK), "2500000");
    assert_eq!(host.read(TW_BUCKETS), "200000");
    assert_eq!(host.read(PORT_RANGE), "1024 65535");
    assert_eq!(host.read(LIMITS), "* - nofile 2000128\nroot - nofile 2000128");

    assert_eq!(host.tune(&["--undo"]).0, Some(0));
    for (path, shipped) in SHIPPED {
        assert_eq!(host.read(path).replace('\t', " "), shipped.trim().replace('\t', " "), "{path}");
    }
    assert_eq!(host.read(CONNTRACK), "262144");
    assert!(!host.0.join(LIMITS).exists() && !host.0.join(STATE).exists());
    let (code, text, _) = host.tune(&["--undo"]);
    assert_eq!((code, text.as_str()), (Some(0), "nothing to undo\n"));
}

#[test]
fn nothing_is_ever_lowered() {
    let host = Host::new("lower", &[(TCP_MEM, "1\t9999999\t2\n"), (PORT_RANGE, "999\t60000\n")]);
    assert_eq!(host.tune(&["--connections", "10000", "--apply"]).0, Some(0));
    assert_eq!(host.read(TCP_MEM), "7500 9999999 15000");
    assert_eq!(host.read(PORT_RANGE), "999 65535");
    assert_eq!(host.read(NR_OPEN), "1048576");
    assert!(!host.0.join(LIMITS).exists(), "524288 files are enough");
}

#[test]
fn a_file_of_somebody_else_is_left_alone() {
    let host = Host::new("foreign", &[(LIMITS, "* - nofile 7\n")]);
    let (code, _, complaint) = host.tune(&["--connections", "1000000", "--apply"]);
    assert_eq!(code, Some(1));
    assert!(complaint.contains("is there already"), "{complaint}");
    assert_eq!(host.read(TCP_MEM), "750000 1000000 1500000", "the rest is raised");
    assert_eq!(host.tune(&["--undo"]).0, Some(0));
    assert_eq!(host.read(LIMITS), "* - nofile 7");
}

#[test]
fn a_setting_that_cannot_be_written_is_named_and_the_rest_is_raised() {
    let host = Host::new("denied", &[]);
    // The kernel lets nobody write this one, root neither.
    fs::remove_file(host.0.join(SOMAXCONN)).expect("it was there");
    symlink("/proc/sys/kernel/ostype", host.0.join(SOMAXCONN)).expect("linked");
    let (code, _, complaint) = host.tune(&["--connections", "2000000", "--apply"]);
    assert_eq!(code, Some(1));
    assert_eq!(complaint, "net.core.somaxconn: cannot be set to 4096 here\n");
    assert_eq!(host.read(TW_BUCKETS), "200000", "it comes after the one that failed");
}

#[test]
fn a_mistake_is_one_line_and_exit_code_2() {
    let host = Host::new("usage", &[]);
    for arguments in [
        &["--connections"][..],
        &["--connections", "0"],
        &["--connections", "many"],
        &["--connections", "100000001"],
        &["--connections=99999999999999999999"],
        &["--what"],
    ] {
        let (code, out, complaint) = host.tune(arguments);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{arguments:?}");
        assert_eq!(complaint.lines().count(), 1, "{complaint}");
    }
    assert!(Path::new(SCRIPT).exists());
}
