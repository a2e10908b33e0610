//! The fuzz targets over their corpus, as a plain test: `scripts/fuzz.sh` lets libFuzzer look for more.

#[path = "fuzz/targets.rs"]
mod targets;

use std::fs;
use std::path::{Path, PathBuf};

use sha1::{Digest, Sha1};

/// Bytes of one input, and of all of them.
const INPUT_LEN_MAX: usize = 4096;
const CORPUS_LEN_MAX: usize = 150 * 1024;

/// Panics where an oracle is hurt.
type Check = fn(&[u8]);

/// The targets, by the names of their programs and folders.
const TARGETS: [(&str, Check); 8] = [
    ("config", targets::config::check),
    ("connection", targets::connection::check),
    ("deflate", targets::deflate::check),
    ("frames", targets::frames::check),
    ("head", targets::head::check),
    ("json", targets::json::check),
    ("proxy", targets::proxy::check),
    ("snapshot", targets::snapshot::check),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The inputs of a target, by their files.
fn corpus(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let files = fs::read_dir(root().join("fuzz/corpus").join(name)).expect("each target has a corpus");
    let mut paths: Vec<PathBuf> = files.map(|file| file.expect("a file").path()).collect();
    paths.sort_unstable();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).expect("an input"))).collect()
}

fn check(name: &str) {
    let (_, check) = TARGETS.iter().find(|(target, _)| *target == name).expect("a target");
    for (path, input) in corpus(name) {
        println!("{}", path.display());
        check(&input);
    }
    // None at all is an input too.
    check(b"");
}

#[test]
fn the_configuration_holds_over_its_corpus() {
    check("config");
}

#[test]
fn whole_connections_hold_over_their_corpus() {
    check("connection");
}

#[test]
fn deflate_holds_over_its_corpus() {
    check("deflate");
}

#[test]
fn frames_hold_over_their_corpus() {
    check("frames");
}

#[test]
fn request_heads_hold_over_their_corpus() {
    check("head");
}

#[test]
fn json_holds_over_its_corpus() {
    check("json");
}

#[test]
fn proxy_headers_hold_over_their_corpus() {
    check("proxy");
}

#[test]
fn snapshots_hold_over_their_corpus() {
    check("snapshot");
}

#[test]
fn each_target_has_its_program_and_a_small_corpus_named_by_its_hashes() {
    let mut len = 0;
    for (name, _) in TARGETS {
        let program = fs::read_to_string(root().join(format!("fuzz/fuzz_targets/{name}.rs"))).expect("a program");
        assert!(program.contains(&format!("targets::{name}::check(")), "{name} runs its own target");
        let corpus = corpus(name);
        assert!(corpus.len() >= 8, "{name} begins from {} inputs", corpus.len());
        for (path, input) in corpus {
            let hash: String = Sha1::digest(&input).iter().map(|byte| format!("{byte:02x}")).collect();
            assert!(path.ends_with(&hash), "{} is {hash}", path.display());
            assert!(input.len() <= INPUT_LEN_MAX, "{} has {} bytes", path.display(), input.len());
            len += input.len();
        }
    }
    assert!(len <= CORPUS_LEN_MAX, "{len} bytes of inputs: scripts/fuzz.sh says how to make them fewer");
    let programs = fs::read_dir(root().join("fuzz/fuzz_targets")).expect("a folder").count();
    assert_eq!(programs, TARGETS.len(), "each program is a target here");
}
