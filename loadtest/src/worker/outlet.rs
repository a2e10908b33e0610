//! Publishers, and the connections that they publish on.

use crate::plan::WorkerPlan;
use crate::wire::http::Answers;

/// One publisher: its topics, and the connections that it reaches them on.
#[derive(Debug)]
pub(super) struct Outlet {
    pub(super) topics: Vec<u32>,
    pub(super) names: Vec<String>,
    /// For each server, one for each topic or one for all.
    pub(super) links: Vec<Link>,
    /// Links to one server.
    pub(super) links_per_server: usize,
    /// The topic whose turn it is.
    pub(super) cursor: usize,
}

/// A publisher's way to a server.
#[derive(Debug, Default)]
pub(super) struct Link {
    pub(super) key: Option<usize>,
    pub(super) answers: Answers,
}

/// The publishers of a worker, not connected yet.
pub(super) fn outlets(plan: &WorkerPlan) -> Vec<Outlet> {
    let outlet = |number| {
        let topics = plan.topics_of_publisher(number);
        let links_per_server = plan.slots_of_publisher(number);
        Outlet {
            names: topics.iter().map(|&topic| plan.topic_name(topic)).collect(),
            topics,
            links: (0..links_per_server * plan.servers.len()).map(|_| Link::default()).collect(),
            links_per_server,
            cursor: 0,
        }
    };
    plan.publishers.clone().map(outlet).collect()
}

impl Outlet {
    /// The connections of the topic whose turn it is, with the index of the server of each.
    pub(super) fn keys(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let of_topic = if self.links_per_server == 1 { 0 } else { self.cursor };
        let links = self.links.iter().skip(of_topic).step_by(self.links_per_server.max(1));
        links.enumerate().filter_map(|(server, link)| Some((server, link.key?)))
    }

    pub(super) fn is_open(&self) -> bool {
        self.keys().next().is_some()
    }

    /// The results of POSTs on one of its connections.
    pub(super) fn answers(&mut self, slot: u32) -> Option<&mut Answers> {
        self.links.get_mut(slot as usize).map(|link| &mut link.answers)
    }

    pub(super) fn topic(&self) -> u32 {
        self.topics.get(self.cursor).copied().unwrap_or(0)
    }

    pub(super) fn advance(&mut self) {
        self.cursor = (self.cursor + 1) % self.topics.len().max(1);
    }
}
