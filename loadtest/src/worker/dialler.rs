//! Which connections are still to be opened, and which are on the way.

use std::collections::{BTreeMap, VecDeque};

use super::conn::{Kind, Who};
use super::round::own_cpu;
use crate::latency::Latencies;
use crate::measure::process::Cpu;
use crate::pace::Pacer;
use crate::plan::WorkerPlan;

/// The connections that are still to be opened, and those on the way.
#[derive(Debug)]
pub(super) struct Dialler {
    pub(super) waiting: VecDeque<Who>,
    /// Clients that were refused in a storm, by the time of their next try and the serial of the one before.
    pub(super) retrying: BTreeMap<(u64, u32), Who>,
    /// Handshakes in progress, and when they have taken too long: the earliest first. One that ended stays in it.
    pub(super) deadlines: VecDeque<(u64, usize, u32)>,
    /// Clients whose connection ended or could not be opened: they are dialled again when the parent asks for all.
    pub(super) lost: Vec<Who>,
    pub(super) in_progress: u32,
    pub(super) pacer: Option<Pacer>,
    /// The parent waits to be told.
    pub(super) is_awaited: bool,
    pub(super) retries: bool,
    /// Readers that were asked for so far.
    pub(super) asked: u32,
    pub(super) are_publishers_asked: bool,
    /// Connections are opened to be reset, without end.
    pub(super) churns: bool,
    pub(super) serial: u32,
    pub(super) last_success_ns: u64,
    pub(super) last_ready_ns: u64,
    pub(super) latencies: Latencies,
    pub(super) publishers: u32,
    pub(super) cpu_at_start: Cpu,
    pub(super) handshakes: u64,
}

impl Dialler {
    pub(super) fn new(plan: &WorkerPlan) -> Self {
        Self {
            waiting: VecDeque::new(),
            retrying: BTreeMap::new(),
            deadlines: VecDeque::new(),
            lost: Vec::new(),
            in_progress: 0,
            pacer: None,
            is_awaited: false,
            retries: false,
            asked: 0,
            are_publishers_asked: plan.publishers.is_empty(),
            churns: false,
            serial: 0,
            last_success_ns: 0,
            last_ready_ns: 0,
            latencies: Latencies::default(),
            publishers: 0,
            cpu_at_start: Cpu::default(),
            handshakes: 0,
        }
    }

    /// Opens and resets connections until it is stopped.
    pub(super) fn churn(&mut self) {
        self.churns = true;
    }

    pub(super) fn stop_churn(&mut self) {
        self.churns = false;
        self.waiting.retain(|who| who.kind != Kind::Churn);
    }

    pub(super) fn begin(&mut self, now: u64, per_second: f64) {
        self.is_awaited = true;
        self.pacer = (per_second > 0.0).then(|| Pacer::new(now, u64::MAX, per_second));
        self.last_success_ns = now;
        self.last_ready_ns = now;
        self.latencies = Latencies::default();
        self.cpu_at_start = own_cpu();
    }
}
