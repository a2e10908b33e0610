//! Rules and bounds that change while topics are there: what holds from now on is brought to them, some in each turn.

use std::sync::Arc;

use super::Home;
use crate::hub::topic_table::TopicId;
use crate::hub::{Hub, HubSettings};
use crate::limits::{RULE_LOOKS_PER_STEP, RULE_TOPICS_PER_STEP};
use crate::time::MonoTime;

/// How far a change has come.
#[derive(Clone, Copy, Debug)]
pub(in crate::hub) struct Changing {
    /// The next topic, by its place in the table.
    place: usize,
    /// More is kept than the bound has room for, and histories can give some.
    is_excessive: bool,
}

impl Home {
    /// Takes other settings, and lets go of what they do not keep.
    fn change(&mut self, now: MonoTime, settings: super::TopicSettings) {
        self.settings = settings;
        self.last = self.last.take().filter(|_| settings.last);
        self.expire(now);
        let kept = self.keeps();
        self.history.fit(&kept);
    }
}

impl Hub {
    /// Takes other settings: of them the rules and the bounds may differ. New topics follow them at once, the others by and
    /// by, with [`Hub::step_change`]. A last value stays although the bound of bytes is below it.
    pub fn change(&mut self, settings: HubSettings) {
        self.message_ids.set_ttl(settings.message_id_ttl_ms);
        let is_same = settings.rules == self.settings.rules;
        // A walk in progress begins anew: a topic that it came by has the rules before these.
        let place = match self.changing {
            Some(changing) if is_same => changing.place,
            None if is_same => self.topics.places(),
            _ => 0,
        };
        self.settings = settings;
        self.changing = Some(Changing { place, is_excessive: true });
    }

    /// Goes on with a change; `true` once every topic follows it.
    pub fn step_change(&mut self, now: MonoTime) -> bool {
        let Some(changing) = self.changing else { return true };
        let rules = Arc::clone(&self.settings.rules);
        let topics = (RULE_LOOKS_PER_STEP / rules.count().max(1)).min(RULE_TOPICS_PER_STEP);
        // The last of the table may be newer than the change; they lose nothing by it.
        let end = self.topics.places().min(changing.place + topics);
        for place in changing.place..end {
            let id = TopicId(place as u32);
            let Some(home) = self.topics.home_mut(id) else { continue };
            let settings = rules.find(home.name.as_str());
            if settings != home.settings {
                let before = home.kept();
                home.change(now, settings);
                let (after, due) = (home.kept(), home.next_due());
                self.kept.change(before, after);
                due.into_iter().for_each(|due| self.line_up(id, due));
            }
        }
        let excess = self.kept.total().saturating_sub(self.settings.retained_len_max);
        let halved = if changing.is_excessive && excess > 0 { self.shed_history(excess) } else { 0 };
        self.sheds.0 += halved;
        let is_over = end == self.topics.places() && halved == 0;
        self.changing = (!is_over).then_some(Changing { place: end, is_excessive: halved > 0 });
        is_over
    }
}
