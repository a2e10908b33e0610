//! One worker process: its two pipes, and what it said last.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command as Process, Stdio};
use std::sync::mpsc::Sender;
use std::thread;

use crate::plan::WorkerPlan;
use crate::protocol::{Connected, Ended, Event, Progress};

/// The hidden subcommand that a worker is started with.
pub const WORKER_COMMAND: &str = "worker";

#[derive(Debug)]
pub(super) struct Handle {
    pub(super) child: Child,
    pub(super) input: Option<ChildStdin>,
    pub(super) is_lost: bool,
    pub(super) progress: Progress,
    pub(super) connected: Option<Connected>,
    pub(super) started: Option<Vec<u32>>,
    pub(super) published: Option<(Vec<u64>, u64)>,
    pub(super) ended: Option<Ended>,
    pub(super) resumed: Option<(u32, u32)>,
}

impl Handle {
    pub(super) fn start(plan: &WorkerPlan, index: usize, sender: Sender<(usize, Option<Event>)>) -> io::Result<Self> {
        let mut child = Process::new(std::env::current_exe()?)
            .arg(WORKER_COMMAND)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut input = child.stdin.take();
        if let Some(output) = child.stdout.take() {
            thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    let Ok(event) = serde_json::from_str(&line) else { break };
                    if sender.send((index, Some(event))).is_err() {
                        break;
                    }
                }
                let _ = sender.send((index, None));
            });
        }
        let mut line = serde_json::to_vec(plan).expect("a plan is data");
        line.push(b'\n');
        if let Some(pipe) = &mut input
            && pipe.write_all(&line).and_then(|()| pipe.flush()).is_err()
        {
            input = None;
        }
        Ok(Self {
            child,
            input,
            is_lost: false,
            progress: Progress::default(),
            connected: None,
            started: None,
            published: None,
            ended: None,
            resumed: None,
        })
    }
}
