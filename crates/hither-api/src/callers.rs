//! Who calls, and what they may: apps with keys, users of the Unix socket, and those without a name.
//!
//! What must stay true: a key that is wrong is never treated as no key; a key is nowhere but at its app, the node keeps a
//! hash; what an app may not do is refused by name, with what to type.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, PoisonError, RwLock};

use axum::{Extension, Router};
use hither_types::id::{AppName, ModelName};
use hither_types::label::{DataClass, Label};
use hyper::HeaderMap;
use hyper::http::Extensions;
use tokio::net::UnixStream;
use tokio::time::Instant;

use crate::errors::{Code, Problem};
use crate::explain;
use crate::routes::Listener;
use crate::tls::Shown;
use crate::tokens::Tokens;

mod app;
mod key;
mod linked;
mod meter;
mod sent;
#[cfg(test)]
mod tests;

pub use app::{AppEntry, Change, KeyMark, Limits, Link};
pub use key::{Key, KeyId, SECRET_BYTES};
pub(crate) use linked::is_link;
pub use meter::Counts;
use meter::{Excess, Meter};
use sent::Sent;

/// The name of callers who give none. No app can have it.
pub const ANONYMOUS: &str = "anonymous";

/// Whether callers over TCP need a key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Keys {
    /// Who has none is anonymous.
    #[default]
    Optional,
    /// Who has none is turned away.
    Required,
}

/// What the configuration says about callers.
#[derive(Debug, Clone)]
pub struct Access {
    /// Whether they need a key.
    pub keys: Keys,
    /// Where the TCP listener is bound.
    pub bound: IpAddr,
    /// Names of this node beside its addresses, in lower case.
    pub hosts: Vec<String>,
    /// What callers without a name may do.
    pub anonymous: Limits,
    /// Whose tokens are believed beside keys of this node.
    pub tokens: Option<Arc<Tokens>>,
}

impl Default for Access {
    fn default() -> Self {
        Self {
            keys: Keys::Optional,
            bound: IpAddr::from([127, 0, 0, 1]),
            hosts: Vec::new(),
            anonymous: Limits::default(),
            tokens: None,
        }
    }
}

/// Who is at the other end of the Unix socket, as the system says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer {
    uid: u32,
}

/// The router for one connection over the Unix socket: each request says whose it is. One layer around the whole, and not
/// one around each route.
pub(crate) fn from_peer(router: &Router, stream: &UnixStream) -> Router {
    match stream.peer_cred() {
        Ok(credentials) => {
            Router::new().fallback_service(router.clone()).layer(Extension(Peer { uid: credentials.uid() }))
        }
        // Then nobody knows, and the file of the socket still guards it.
        Err(_) => router.clone(),
    }
}

impl Peer {
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn with_uid(uid: u32) -> Self {
        Self { uid }
    }
}

/// One who calls. Cheap to clone; the gate puts it into each request that it lets in.
#[derive(Debug, Clone)]
pub struct Caller(Arc<Known>);

#[derive(Debug)]
struct Known {
    entry: AppEntry,
    meter: Arc<Meter>,
}

/// A request that was let in. Dropping it makes room for the next.
#[derive(Debug)]
pub(crate) struct Admission(Caller);

impl Drop for Admission {
    fn drop(&mut self) {
        self.0.0.meter.leave();
    }
}

impl Admission {
    /// Who was let in.
    pub(crate) fn caller(&self) -> &Caller {
        &self.0
    }
}

impl Caller {
    /// Who sent a request, as the gate found out.
    pub(crate) fn of(extensions: &Extensions) -> &Self {
        extensions.get().expect("the gate puts the caller into each request that it lets in")
    }

    /// What the law and the ledger call them.
    pub fn name(&self) -> &AppName {
        &self.0.entry.name
    }

    /// What is known of them.
    pub fn entry(&self) -> &AppEntry {
        &self.0.entry
    }

    /// What was counted since the node started.
    pub fn counts(&self) -> Counts {
        self.0.meter.counts()
    }

    /// Whether a model is among theirs.
    pub(crate) fn sees(&self, model: &ModelName) -> bool {
        let models = &self.0.entry.limits.models;
        models.is_empty() || models.contains(model)
    }

    /// Whether requests with data of a class are on the record with a reference to what was asked.
    pub(crate) fn refers(&self, class: DataClass) -> bool {
        self.0.entry.references.is_some_and(|most| class <= most)
    }

    /// Refuses a model that is not among theirs.
    pub(crate) fn may_use(&self, model: &ModelName) -> Result<(), Problem> {
        if self.sees(model) {
            return Ok(());
        }
        let text = format!("app {} may not use model {model}; it may use {}", self.name(), list(&self.limits().models));
        let wider = comma(self.limits().models.iter().chain([model]));
        Err(Problem::new(Code::NotAllowed, text).help(self.fix("models", wider)).param("model"))
    }

    /// Refuses a label that is beyond theirs.
    pub(crate) fn may_send(&self, label: &Label) -> Result<(), Problem> {
        let limits = self.limits();
        if let Some(most) = limits.class.filter(|most| label.class > *most) {
            let text =
                format!("app {} may send data of class {most} at most, and these are {}", self.name(), label.class);
            let refused = Problem::new(Code::NotAllowed, text).help(self.fix("class", label.class));
            return Err(refused.param("x-hither-class"));
        }
        if limits.purposes.is_empty() || label.purpose.as_ref().is_some_and(|given| limits.purposes.contains(given)) {
            return Ok(());
        }
        let given = match &label.purpose {
            Some(given) => format!("this one is for {given}"),
            None => "this one does not say what it is for".to_owned(),
        };
        let text = format!("app {} may ask for {} alone, and {given}", self.name(), list(&limits.purposes));
        let help = match &label.purpose {
            Some(_) => self.fix("purposes", comma(limits.purposes.iter().chain(&label.purpose))),
            None => format!("send the header x-hither-purpose: {}", limits.purposes[0]),
        };
        Err(Problem::new(Code::NotAllowed, text).help(help).param("x-hither-purpose"))
    }

    /// Lets one request in, if the limits leave room for it.
    pub(crate) fn enter(&self, now: Instant) -> Result<Arc<Admission>, Problem> {
        match self.0.meter.enter(now) {
            Ok(()) => Ok(Arc::new(Admission(self.clone()))),
            Err(excess) => Err(self.too_much(excess)),
        }
    }

    /// Charges tokens once they are known.
    pub(crate) fn charge(&self, tokens: u64) {
        self.0.meter.charge(tokens, Instant::now());
    }

    fn limits(&self) -> &Limits {
        &self.0.entry.limits
    }

    fn is_anonymous(&self) -> bool {
        self.name().as_str() == ANONYMOUS
    }

    /// What to type so that a limit lets this request in.
    fn fix(&self, limit: &'static str, value: impl Display) -> String {
        if self.is_anonymous() {
            let field = limit.replace('-', "_");
            return format!("send the key of an app, or change {field} under [api.anonymous] in hither.toml");
        }
        format!("hither apps limit {} --{limit} {value}", self.name())
    }

    fn too_much(&self, excess: Excess) -> Problem {
        let (name, limits) = (self.name(), self.limits());
        let most = |limit: Option<NonZeroU32>| limit.map_or(0, NonZeroU32::get);
        let (text, wait, limit) = match excess {
            Excess::Requests(wait) => {
                let text = format!("app {name} may send {} requests a second", most(limits.requests_per_s));
                (text, Some(wait), "requests-per-s")
            }
            Excess::Tokens(wait) => {
                let text = format!("app {name} may use {} tokens a minute", most(limits.tokens_per_min));
                (text, Some(wait), "tokens-per-min")
            }
            Excess::Concurrent => {
                let text = format!("app {name} may have {} requests under way at once", most(limits.concurrent));
                (text, None, "concurrent")
            }
        };
        let problem = match wait {
            Some(wait) => {
                let text = format!("{text}; the next is let in in {}", explain::span(wait));
                Problem::new(Code::LimitReached, text).retry_after(wait)
            }
            None => Problem::new(Code::LimitReached, format!("{text}; the next is let in when one of them ends")),
        };
        problem.help(self.fix(limit, "N"))
    }
}

fn comma<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<String>>().join(",")
}

fn list<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<String>>().join(", ")
}

#[derive(Default)]
struct Table {
    by_key: BTreeMap<KeyId, Caller>,
    by_uid: BTreeMap<u32, Caller>,
    by_certificate: BTreeMap<String, Caller>,
    by_subject: BTreeMap<String, Caller>,
}

/// Everyone who may call. The node behind the door replaces the apps while callers come.
pub struct Callers {
    access: Access,
    hash_key: [u8; 32],
    anonymous: Caller,
    /// The node's own user and root: nobody can keep them from its files.
    operator: Caller,
    owner: u32,
    table: RwLock<Arc<Table>>,
}

impl Callers {
    /// No apps yet. `hash_key` is what keys are hashed under, `owner` the user that the node runs as.
    pub fn new(access: Access, hash_key: [u8; 32], owner: u32) -> Self {
        let nameless = |limits: Limits| {
            let name = AppName::parse(ANONYMOUS).expect("it is a name");
            let meter = Arc::new(Meter::new(&limits, Instant::now()));
            // No key has this hash, and the table does not have the id.
            let key = KeyMark { id: KeyId(0), hash: [0; 32] };
            Caller(Arc::new(Known { entry: AppEntry::new(name, key, limits), meter }))
        };
        let (anonymous, operator) = (nameless(access.anonymous.clone()), nameless(Limits::default()));
        Self { access, hash_key, anonymous, operator, owner, table: RwLock::default() }
    }

    /// What the configuration says.
    pub(crate) fn access(&self) -> &Access {
        &self.access
    }

    /// What is to be kept of a key.
    pub fn mark(&self, key: &Key) -> KeyMark {
        KeyMark { id: key.id(), hash: *key.hash(&self.hash_key).as_bytes() }
    }

    /// Puts these apps in the place of those that were. An app of the same name goes on with what it has used.
    pub fn replace(&self, entries: &[AppEntry]) {
        let now = Instant::now();
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let mut made = Table::default();
        for entry in entries {
            let before = table.by_key.values().find(|caller| *caller.name() == entry.name);
            let meter = match before {
                Some(before) => {
                    if *before.limits() != entry.limits {
                        before.0.meter.limit(&entry.limits, now);
                    }
                    Arc::clone(&before.0.meter)
                }
                None => Arc::new(Meter::new(&entry.limits, now)),
            };
            let caller = Caller(Arc::new(Known { entry: entry.clone(), meter }));
            if let Some(uid) = entry.uid {
                made.by_uid.insert(uid, caller.clone());
            }
            if let Some(certificate) = &entry.certificate {
                made.by_certificate.insert(certificate.clone(), caller.clone());
            }
            if let Some(subject) = &entry.subject {
                made.by_subject.insert(subject.clone(), caller.clone());
            }
            made.by_key.insert(entry.key.id, caller);
        }
        *table = Arc::new(made);
    }

    /// All apps, by name.
    pub fn apps(&self) -> Vec<Caller> {
        let mut apps: Vec<Caller> = self.table().by_key.values().cloned().collect();
        apps.sort_by(|one, other| one.name().cmp(other.name()));
        apps
    }

    /// The app of a name, or whoever has none. `None`: there is no such app any more.
    pub(crate) fn named(&self, name: &AppName) -> Option<Caller> {
        if name.as_str() == ANONYMOUS {
            return Some(self.anonymous.clone());
        }
        self.table().by_key.values().find(|caller| caller.name() == name).cloned()
    }

    /// What was counted of each app, and of all who have no name.
    pub(crate) fn counts(&self) -> Vec<(AppName, Counts)> {
        let mut all: Vec<(AppName, Counts)> =
            self.apps().into_iter().map(|app| (app.name().clone(), app.counts())).collect();
        all.push((self.anonymous.name().clone(), self.anonymous.counts().with(self.operator.counts())));
        all
    }

    /// Whoever comes without a name where no key is ever needed.
    pub(crate) fn anonymous(&self) -> Caller {
        self.anonymous.clone()
    }

    /// Finds out who calls. A key comes before a token, and both before a certificate and the user of the socket.
    pub(crate) fn identify(
        &self,
        listener: Listener,
        headers: &HeaderMap,
        peer: Option<Peer>,
        shown: Option<&Shown>,
    ) -> Result<Caller, Problem> {
        let sent = Sent::of(headers)?;
        match (sent, &self.access.tokens, shown, listener) {
            (Sent::Ours(text), ..) => self.holder(text),
            (Sent::Token(text), Some(tokens), ..) => self.subject(tokens, text),
            (_, _, Some(shown), _) => self.bearer(shown),
            (_, _, None, Listener::Unix) => Ok(self.user(peer)),
            (_, _, None, Listener::Tcp) if self.access.keys == Keys::Optional => Ok(self.anonymous.clone()),
            (Sent::Foreign | Sent::Token(_), ..) => Err(self.needed("what was sent is no key of this node")),
            (Sent::Nothing, ..) => Err(self.needed("this node answers nobody without a key, and none was sent")),
        }
    }

    /// Refuses commands of a user whose programs are an app: it could lift its own limits.
    pub(crate) fn may_command(&self, peer: Option<Peer>) -> Result<(), Problem> {
        let Some(peer) = peer.filter(|peer| !self.operates(*peer)) else { return Ok(()) };
        match self.table().by_uid.get(&peer.uid) {
            None => Ok(()),
            Some(app) => {
                let text = format!("user {} is app {} here, and apps give no commands", peer.uid, app.name());
                Err(Problem::new(Code::NotAllowed, text).help(format!(
                    "type it as user {}, which runs the node; or hither apps rm {}",
                    self.owner,
                    app.name()
                )))
            }
        }
    }

    fn operates(&self, peer: Peer) -> bool {
        peer.uid == 0 || peer.uid == self.owner
    }

    fn user(&self, peer: Option<Peer>) -> Caller {
        let app = peer.and_then(|peer| self.table().by_uid.get(&peer.uid).cloned());
        let nameless = if peer.is_some_and(|peer| self.operates(peer)) { &self.operator } else { &self.anonymous };
        app.unwrap_or_else(|| nameless.clone())
    }

    fn holder(&self, text: &str) -> Result<Caller, Problem> {
        let wrong = || {
            Problem::new(
                Code::WrongKey,
                "the API key is wrong: it was replaced, its app was removed, or it is mistyped",
            )
            .help("hither apps ls  (shows which apps have a key, by the digits after hk_)")
            .help("hither apps rotate NAME  (makes a new key)")
        };
        let key = Key::parse(text).ok_or_else(wrong)?;
        let hash = key.hash(&self.hash_key);
        let table = self.table();
        // The id is no secret; of the secret nothing is told by how long this takes.
        let found = table.by_key.get(&key.id()).filter(|app| hash == blake3::Hash::from(app.entry().key.hash));
        found.cloned().ok_or_else(wrong)
    }

    fn needed(&self, why: &str) -> Problem {
        let needed = Problem::new(Code::KeyNeeded, why)
            .help("hither apps add NAME  (on the node's machine, makes a key)")
            .help("send it as Authorization: Bearer hk_…");
        match &self.access.tokens {
            None => needed,
            Some(tokens) => needed.help(format!("or send a token of {} in its place", tokens.rules().issuer)),
        }
    }

    fn table(&self) -> Arc<Table> {
        Arc::clone(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }
}
