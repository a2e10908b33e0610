//! Runs the client: this program, as one would type it.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::report::ClientReport;

/// Runs `program` with `args` and `--json -` on one core, and reads its report.
///
/// A report is one even where the client found errors in the server and ended with 1.
///
/// # Errors
/// If there is none, in one line: the last one that the client complained with, if it did.
pub(super) fn run(program: &Path, args: &[String], core: u32) -> Result<ClientReport, String> {
    let mut command = Command::new("taskset");
    command.args(["-c", &core.to_string()]).arg(program).args(args).args(["--json", "-"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("taskset: {error}"))?;
    let out = child.stdout.take().map(read_all);
    let err = child.stderr.take().map(read_all);
    let ended = wait(&mut child);
    let text =
        |handle: Option<thread::JoinHandle<String>>| handle.and_then(|handle| handle.join().ok()).unwrap_or_default();
    let (out, err) = (text(out), text(err));
    if !ended {
        return Err(format!("the client did not end within {} s", RUN_TIMEOUT.as_secs()));
    }
    ClientReport::parse(&out).map_err(|error| match err.lines().rfind(|line| !line.trim().is_empty()) {
        Some(complaint) => format!("the client: {}", complaint.trim()),
        None => error,
    })
}

fn read_all(mut source: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = source.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Whether it ended by itself; after a while it is ended.
fn wait(child: &mut Child) -> bool {
    let until = Instant::now() + RUN_TIMEOUT;
    while Instant::now() < until {
        if !matches!(child.try_wait(), Ok(None)) {
            return true;
        }
        thread::sleep(LOOK_AGAIN);
    }
    let _ = child.kill();
    let _ = child.wait();
    false
}

/// For one run, opening all connections included. The client's own stall time-out is far below.
const RUN_TIMEOUT: Duration = Duration::from_secs(300);

const LOOK_AGAIN: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_reports_nothing_is_an_error_in_its_own_words() {
        let shell = |script: &str| run(Path::new("/bin/sh"), &["-c".to_owned(), script.to_owned()], 0);
        let error = shell("echo working >&2; echo 'no such scenario' >&2; exit 2").expect_err("no report");
        assert_eq!(error, "the client: no such scenario");
        let error = shell("exit 0").expect_err("no report");
        assert!(error.starts_with("no report of the client"), "{error}");
        let report = shell("echo '{\"scenario\":\"hold\"}'; exit 1").expect("a report, whatever the code");
        assert_eq!(report.scenario, "hold");
    }
}
