//! The one gate: whether a session may do something. Every endpoint and every dialect asks here, at the moment of the act.

use crate::command::{ErrorCode, Refusal, SessionId, Target, TopicName};
use crate::shard::Shard;
use crate::transport::http::{NO_PUBLISHING, NO_READING, Role};

/// An act that needs permission.
#[derive(Clone, Copy, Debug)]
pub(in crate::shard) enum Act<'a> {
    Subscribe(&'a Target),
    Publish(&'a TopicName),
    History(&'a TopicName),
    State(&'a TopicName),
    /// To learn which topics there are.
    List,
}

impl Act<'_> {
    /// The topic or pattern that it is about.
    fn target(&self) -> &str {
        match self {
            Self::Subscribe(target) => target.as_str(),
            Self::Publish(topic) | Self::History(topic) | Self::State(topic) => topic.as_str(),
            Self::List => ">",
        }
    }
}

impl Shard {
    /// Whether a session may do something: by the listener that it came in on, and by the topic's rule.
    ///
    /// # Errors
    /// `forbidden`, to be told to the peer.
    pub(in crate::shard) fn may(&mut self, id: SessionId, act: &Act<'_>) -> Result<(), Refusal> {
        let role = self.role_of(self.links.conns.listener_of(id.index));
        let why = match act {
            Act::Publish(_) if !role.may_publish() => NO_PUBLISHING,
            Act::Publish(topic) if role == Role::All && self.is_reserved(topic) => RESERVED,
            Act::Subscribe(_) | Act::History(_) | Act::State(_) | Act::List if !role.may_read() => NO_READING,
            _ => return Ok(()),
        };
        tracing::debug!(target = act.target(), why, "refused");
        Err(Refusal::new(ErrorCode::Forbidden, why))
    }

    /// Whether a topic's rule keeps clients from publishing to it.
    fn is_reserved(&mut self, topic: &TopicName) -> bool {
        self.settings.live.rules.has_reserved() && !self.rule_of(topic).publish
    }

    /// The role of a listener.
    fn role_of(&self, listener: u8) -> Role {
        self.settings.live.access.get(usize::from(listener)).map_or(Role::All, |access| access.role)
    }
}

const RESERVED: &str = "this topic is not published to from here: publish = false";
