//! Taking a model's file off this disk. The catalog keeps its entry: whoever asks for the model is served by others, and a node
//! whose configuration lets it pull what is asked for may fetch it again.

use hither_api::door::{CommandDone, CommandError};
use hither_core::Event;
use hither_types::id::{Digest, ModelName};

use super::unknown;
use crate::driver::{CommandReply, Driver};

impl Driver {
    /// Removes a file. What is asked of the model here goes elsewhere before the file goes.
    pub(crate) fn remove_model(&mut self, name: &ModelName, last: bool, reply: CommandReply) {
        let (digest, holders) = match self.removable(name, last) {
            Ok(found) => found,
            Err(error) => {
                // Whoever asked may have left.
                let _ = reply.send(Err(error));
                return;
            }
        };
        self.shelf.here.remove(&digest);
        self.feed(Event::ModelRemoved(digest));
        self.unload(digest);
        self.show();
        let (swarm, name) = (self.swarm.clone(), name.clone());
        self.hands.spawn(async move {
            let done = match swarm.remove(digest).await {
                Ok(()) => {
                    tracing::info!(model = %name, holders, "a model's file was removed");
                    Ok(CommandDone::ModelRemoved { holders })
                }
                Err(error) => Err(CommandError {
                    code: "E0903",
                    message: format!("the file of {name} is not used any more, and cannot be removed: {error}"),
                    help: "stop the node, and start it: it finds the file again".into(),
                }),
            };
            let _ = reply.send(done);
        });
    }

    /// A model makes way for another one, as the mind wants: unless things have changed since it decided.
    pub(crate) fn evict(&mut self, digest: Digest, by: Digest) {
        let (name, by) = (self.shelf.name(digest), self.shelf.name(by));
        let holders = self.core.holders(digest);
        let stays = self.used(digest).or_else(|| (holders == 0).then(|| "is the last copy".to_owned()));
        if let Some(why) = stays {
            tracing::info!(model = %name, %by, why, "a model that should make way for another stays");
            return;
        }
        self.shelf.here.remove(&digest);
        self.echoes.push_back(Event::ModelRemoved(digest));
        self.unload(digest);
        tracing::info!(model = %name, %by, holders, "a model makes way for another: its file is removed");
        let swarm = self.swarm.clone();
        self.hands.spawn(async move {
            if let Err(error) = swarm.remove(digest).await {
                tracing::warn!(model = %name, %error, "a file that is not used any more cannot be removed");
            }
        });
    }

    /// What a model is used for here, if it is.
    fn used(&self, digest: Digest) -> Option<String> {
        let view = self.core.view(self.clock.now());
        let here = view.nodes.iter().find(|node| node.member.node == self.home.me.node);
        let busy = here.and_then(|node| node.models.iter().find(|model| model.digest == digest)).map_or(0, |m| m.busy);
        match busy {
            0 => self.shelf.loading.contains(&digest).then(|| "is being opened".to_owned()),
            busy => Some(format!("answers {busy} requests")),
        }
    }

    /// The model, and how many others have it.
    fn removable(&self, name: &ModelName, last: bool) -> Result<(Digest, usize), CommandError> {
        let refuse = |code, message: String, help: &str| Err(CommandError { code, message, help: help.to_owned() });
        let digest = self.named(name).ok_or_else(|| unknown(name))?.digest;
        if !self.shelf.here.contains(&digest) {
            return refuse("E0439", format!("the file of {name} is not on this node's disk"), "hither models ls");
        }
        if self.pins.has(name) {
            let message = format!("{name} is pinned to this node");
            return refuse("E0448", message, &format!("hither models unpin {name}"));
        }
        if let Some(text) = self.used(digest) {
            return refuse("E0440", format!("{name} {text} on this node"), "try again when it is idle: hither ps");
        }
        let holders = self.core.holders(digest);
        if holders == 0 && !last {
            return refuse(
                "E0441",
                format!("nobody else who is present has {name}: this may be its last copy"),
                &format!("hither models pull {name} at another node first, or hither models rm {name} --last"),
            );
        }
        Ok((digest, holders))
    }
}
