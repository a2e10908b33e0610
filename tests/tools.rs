//! `scripts/test.sh` and `scripts/tools.sh` on a host that lacks tools, which here is a folder of programs.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The programs that the scripts call, from the host that runs this test.
const BORROWED: &[&str] =
    &["bash", "cat", "chmod", "dirname", "env", "mv", "realpath", "rm", "sed", "sleep", "tee", "tr"];

/// A folder with the only programs that a script finds, removed at the end.
struct Host(PathBuf);

impl Host {
    /// A host with the borrowed programs, root, and `tools` that do nothing.
    fn new(name: &str, tools: &[&str]) -> Self {
        let host = Self(std::env::temp_dir().join(format!("fanwire-tools-{}-{name}", std::process::id())));
        fs::create_dir_all(host.bin()).expect("a folder");
        fs::create_dir_all(host.0.join("usr/sbin")).expect("a folder");
        let path = std::env::var("PATH").expect("a path");
        for name in BORROWED {
            let mut places = path.split(':').map(|folder| Path::new(folder).join(name));
            let place = places.find(|place| place.exists()).expect("a host has it");
            symlink(place, host.bin().join(name)).expect("linked");
        }
        host.program("id", "echo 0");
        for tool in tools {
            host.program(tool, "");
        }
        host
    }

    fn bin(&self) -> PathBuf {
        self.0.join("bin")
    }

    /// The policy file that Debian's packages ask whether a service may start.
    fn policy(&self) -> PathBuf {
        self.0.join("usr/sbin/policy-rc.d")
    }

    /// The calls, one a line.
    fn calls(&self) -> String {
        fs::read_to_string(self.0.join("calls")).unwrap_or_default()
    }

    fn program(&self, name: &str, script: &str) {
        let place = self.bin().join(name);
        fs::write(&place, format!("#!/bin/sh\n{script}\n")).expect("written");
        fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).expect("made a program");
    }

    /// Programs that install: they note how they were called, what may start by then, and leave the tools there.
    fn installers(&self, tools: &[&str], ends_with: i32) {
        let note = "echo \"$(basename \"$0\") $*\" >>\"$HERE/calls\"";
        let make: String = tools.iter().map(|tool| format!("cp \"$HERE/bin/id\" \"$HERE/bin/{tool}\"\n")).collect();
        let tail = format!("PATH=$PATH:/usr/bin:/bin\n{note}\n");
        let may_start = "\"$HERE/usr/sbin/policy-rc.d\" nginx start; echo \"policy $?\" >>\"$HERE/calls\"";
        let case = format!("case \"$*\" in *install*) {may_start}\n{make}exit {ends_with} ;; esac");
        self.program("apt-get", &format!("{tail}{case}"));
        self.program("update-rc.d", &tail);
        self.program("cargo", &format!("{tail}cp \"$HERE/bin/id\" \"$HERE/bin/cargo-nextest\""));
    }

    /// Runs a script; its code, and what it wrote to either side.
    fn run(&self, script: &str, arguments: &[&str]) -> (Option<i32>, String) {
        let mut command = Command::new(self.bin().join("bash"));
        command.arg(Path::new(ROOT).join(script)).args(arguments).env_clear().env("PATH", self.bin());
        command.env("HERE", &self.0).env("FANWIRE_TOOLS_ROOT", &self.0);
        let output = command.output().expect("there is a shell");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        (output.status.code(), text(output.stdout) + &text(output.stderr))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const ALL: [&str; 11] =
    ["cargo", "cargo-nextest", "chromium", "curl", "firefox-esr", "gcc", "haproxy", "nginx", "node", "npm", "python3"];

fn without(missing: &[&str]) -> Vec<&'static str> {
    ALL.into_iter().filter(|tool| !missing.contains(tool)).collect()
}

#[test]
fn missing_tools_are_listed_once_and_nothing_is_installed() {
    let host = Host::new("listed", &without(&["nginx", "chromium", "cargo-nextest", "npm"]));
    host.program("apt-get", "echo called >>\"$HERE/calls\"");
    let (code, said) = host.run("scripts/tools.sh", &[]);
    assert_eq!(code, Some(1), "{said}");
    assert_eq!(said, "missing: nodejs npm chromium nginx cargo-nextest\nto install: scripts/test.sh --install\n");
    assert_eq!(host.calls(), "");
}

#[test]
fn a_host_with_all_tools_is_told_nothing() {
    let host = Host::new("whole", &ALL);
    assert_eq!(host.run("scripts/tools.sh", &[]), (Some(0), String::new()));
    let quick = Host::new("quick", &without(&["nginx", "haproxy", "chromium", "firefox-esr"]));
    assert_eq!(quick.run("scripts/tools.sh", &["--quick"]), (Some(0), String::new()));
}

#[test]
fn the_gate_ends_with_the_list_and_says_how_long_it_takes() {
    let host = Host::new("gate", &without(&["nginx"]));
    let (code, said) = host.run("scripts/test.sh", &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("missing: nginx\nto install: scripts/test.sh --install\n"), "{said}");
    assert!(said.starts_with("takes about"), "{said}");
}

#[test]
fn what_is_installed_neither_starts_nor_is_enabled() {
    let missing = ["nginx", "haproxy", "gcc", "cargo-nextest"];
    let host = Host::new("install", &without(&missing));
    host.installers(&["nginx", "haproxy", "gcc"], 0);
    fs::write(host.policy(), "#!/bin/sh\nexit 0\n").expect("written");
    fs::set_permissions(host.policy(), fs::Permissions::from_mode(0o755)).expect("made a program");
    let (code, said) = host.run("scripts/tools.sh", &["--install"]);
    assert_eq!(code, Some(0), "{said}");
    let calls = host.calls();
    let installs = "install --no-install-recommends -y gcc libc6-dev nginx haproxy\npolicy 101\n";
    assert!(calls.contains(installs), "{calls}");
    assert!(calls.contains("update-rc.d nginx disable\nupdate-rc.d haproxy disable\n"), "{calls}");
    assert!(calls.contains("cargo install --locked cargo-nextest\n"), "{calls}");
    assert_eq!(fs::read_to_string(host.policy()).expect("it is back"), "#!/bin/sh\nexit 0\n");
}

#[test]
fn the_hosts_policy_is_back_after_a_failed_install() {
    let host = Host::new("failed", &without(&["nginx"]));
    host.installers(&[], 100);
    let (code, said) = host.run("scripts/tools.sh", &["--install"]);
    assert_ne!(code, Some(0), "{said}");
    assert!(host.calls().contains("policy 101\n"), "{}", host.calls());
    assert!(!host.policy().exists(), "there was none before");
}

#[test]
fn ci_installs_and_a_wrong_argument_is_refused() {
    let ci = fs::read_to_string(Path::new(ROOT).join(".ci/run")).expect("there is a run");
    assert!(ci.contains("scripts/test.sh\" --install"), "{ci}");
    let host = Host::new("usage", &[]);
    for script in ["scripts/test.sh", "scripts/tools.sh"] {
        assert_eq!(host.run(script, &["--instal"]).0, Some(2), "{script}");
        let (code, said) = host.run(script, &["--help"]);
        assert!(code == Some(0) && said.contains("--install"), "{script}: {said}");
    }
}

#[test]
fn fuzzing_lists_what_it_lacks_and_installs_nothing() {
    let host = Host::new("fuzz", &[]);
    let (code, said) = host.run("scripts/fuzz.sh", &[]);
    assert_eq!((code, &*said), (Some(1), "missing: cargo and rustup, from https://rustup.rs\n"));
    host.program("rustup", "exit 1");
    host.program("cargo", "echo \"cargo $*\" >>\"$HERE/calls\"; exit 1");
    let (code, said) = host.run("scripts/fuzz.sh", &["5", "json"]);
    let nightly = "missing: a nightly toolchain: rustup toolchain install nightly\n";
    assert_eq!((code, said), (Some(1), format!("{nightly}missing: cargo-fuzz: cargo install cargo-fuzz --locked\n")));
    assert_eq!(host.calls(), "cargo fuzz --version\n");
    let (code, said) = host.run("scripts/fuzz.sh", &["5", "jason"]);
    assert_eq!((code, &*said), (Some(2), "no target is named jason\n"));
    assert!(host.run("scripts/fuzz.sh", &["--help"]).1.contains("SECONDS"));
}
