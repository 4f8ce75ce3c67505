//! Asking every member on behalf of the admin API, and being asked.

use super::super::event::{Effect, LinkId, Waiting};
use super::super::message::Message;
use super::{Node, Step, leave};

impl Node {
    /// Asks all members that can be reached; who does not answer is for the shell to notice.
    pub(super) fn gather<W: Waiting>(&mut self, step: &mut Step<'_, W>, number: u64, query: Option<Vec<u8>>) {
        let (links, message) = match query {
            Some(body) => (self.members.dialled_links(), Message::Query { number, body }),
            None => {
                // Without a key in common it was told nothing that it could have taken in.
                let keys = self.settings.keys;
                let told = self.members.iter().filter_map(|member| member.channel(&keys));
                (told.collect(), Message::Barrier { number })
            }
        };
        self.say(step, links, message);
    }

    /// A member has taken in all that was said before a barrier.
    pub(super) fn passed<W: Waiting>(&mut self, step: &mut Step<'_, W>, link: LinkId, number: u64) {
        if number == leave::BARRIER {
            self.leaving.forget(link);
        } else if let Some(member) = self.members.at(link) {
            step.effects.push(Effect::Gathered { number, from: member.name.clone(), body: None });
        }
    }

    /// A member answers.
    pub(super) fn replied<W: Waiting>(&mut self, step: &mut Step<'_, W>, link: LinkId, number: u64, body: Vec<u8>) {
        if let Some(member) = self.members.at(link) {
            step.effects.push(Effect::Gathered { number, from: member.name.clone(), body: Some(body) });
        }
    }
}
