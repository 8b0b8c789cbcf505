//! Budgets of what leaves: bytes in a day by site and by app, money in a day at servers outside the mesh.
//!
//! A budget that leaves no room denies; nothing becomes slower or worse because of it, and what can be answered inside is.
//! What is about to leave is counted before it does, so that requests side by side stay within a budget together; what did
//! not leave after all is given back. Money is guessed before, from the size of the request, and known when the answer is
//! there. The day is that of the wall clock, in UTC; a clock that is set back begins no day anew.

use hither_types::fact::{BUDGET_RULE, Counterpart, Fact};
use hither_types::id::{AppName, Attempt, NodeId, RequestId, RuleId, SiteName};
use hither_types::member::Member;
use hither_types::place::{Jurisdiction, PlaceKind};
use hither_types::refusal::Refusal;
use hither_types::request::{Cost, Envelope, RequestKind};
use hither_types::spending::{Budget, Budgets, Flow, Link, Money, Price, SpendingView, Spent};
use hither_types::unit::ByteCount;

use crate::circle::Circle;
use crate::limits;
use crate::machine::Core;
use crate::peers::Peer;
use crate::request::Request;

#[cfg(test)]
mod tests;

/// What is allowed and what is spent.
#[derive(Debug, Default)]
pub(crate) struct Spending {
    budgets: Budgets,
    spent: Spent,
    /// The other nodes of this site.
    mates: u64,
}

/// What one attempt elsewhere was counted with.
#[derive(Debug, Clone, Default)]
pub(crate) struct Held(Option<Counted>);

#[derive(Debug, Clone)]
struct Counted {
    day: u64,
    link: Link,
    /// Whom it was counted for.
    app: AppName,
    /// Payload.
    bytes: ByteCount,
    /// What it may cost, and where.
    money: Option<(SiteName, Money)>,
}

/// What one attempt comes to in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bill {
    /// Nothing left.
    Nothing,
    /// It left, and whoever got it did no work.
    Free,
    /// It left, and there is no answer to count tokens of: it costs what was guessed.
    Guessed,
    /// The answer says what it took.
    Known(Cost),
}

impl Spending {
    fn price(&self, server: &SiteName) -> Price {
        self.budgets.purses.get(server).map(|purse| purse.price).unwrap_or_default()
    }

    /// This node's share of what may leave its site.
    fn share(&self) -> Option<ByteCount> {
        self.budgets.site.map(|site| ByteCount(site.0 / (self.mates + 1)))
    }

    /// The first budget that does not have room for so much more.
    fn over(&self, app: &AppName, link: Link, server: Option<&SiteName>, envelope: &Envelope) -> Option<Budget> {
        let more = envelope.size.0;
        if link.leaves_the_site() {
            if let Some(share) = self.share().filter(|share| self.spent.out_of_site().0.saturating_add(more) > share.0)
            {
                return Some(Budget::Site(share));
            }
            let used = self.spent.apps.get(&self.name_of(app)).map_or(0, |bytes| bytes.0);
            let budget = self.budgets.apps.get(app).copied().or(self.budgets.other_apps);
            if let Some(budget) = budget.filter(|budget| used.saturating_add(more) > budget.0) {
                return Some(Budget::App(app.clone(), budget));
            }
        }
        let (server, purse) = server.and_then(|server| self.budgets.purses.get_key_value(server))?;
        let guess = guess(&purse.price, envelope);
        if let Some(day) = purse.day.filter(|day| self.spent.at(server).plus(guess) > *day) {
            return Some(Budget::Server(server.clone(), day));
        }
        let key = (server.clone(), self.name_of(app));
        let used = self.spent.money.get(&key).copied().unwrap_or_default();
        let day = purse.app_day.filter(|day| used.plus(guess) > *day)?;
        Some(Budget::AppAtServer(app.clone(), server.clone(), day))
    }

    /// Whom something is counted for. Names of apps come from a bounded list, but for those of callers that nobody knows.
    fn name_of(&self, app: &AppName) -> AppName {
        match self.spent.apps.len() < limits::SPENDERS_MAX || self.spent.apps.contains_key(app) {
            true => app.clone(),
            false => AppName::parse("others").expect("six letters are a name"),
        }
    }

    fn count(&mut self, Counted { link, app, bytes, money, .. }: &Counted) {
        let flow = &mut self.spent.links[*link as usize];
        flow.requests.0 = flow.requests.0.saturating_add(bytes.0);
        if link.leaves_the_site() {
            let used = self.spent.apps.entry(app.clone()).or_default();
            used.0 = used.0.saturating_add(bytes.0);
        }
        if let Some((server, money)) = money {
            let used = self.spent.money.entry((server.clone(), app.clone())).or_default();
            *used = used.plus(*money);
        }
    }

    /// Puts what was guessed right: what did not leave is given back, what cost something else is counted as that.
    fn settle(&mut self, held: &Held, bill: Bill) {
        // What is left of yesterday is of yesterday.
        let Some(Counted { link, app, bytes, money, .. }) = held.0.as_ref().filter(|held| held.day == self.spent.day)
        else {
            return;
        };
        if bill == Bill::Nothing {
            let flow = &mut self.spent.links[*link as usize];
            flow.requests.0 = flow.requests.0.saturating_sub(bytes.0);
            if let Some(used) = self.spent.apps.get_mut(app).filter(|_| link.leaves_the_site()) {
                used.0 = used.0.saturating_sub(bytes.0);
            }
        }
        let Some((server, guessed)) = money else { return };
        let cost = match bill {
            Bill::Nothing | Bill::Free => Money(0),
            Bill::Guessed => *guessed,
            Bill::Known(cost) => {
                let known = self.price(server).of(*bytes, cost.prompt_tokens.into(), cost.output_tokens.into());
                // A server that does not say what it read says nothing of what it asks for.
                if cost.prompt_tokens == 0 { known.max(*guessed) } else { known }
            }
        };
        if let Some(used) = self.spent.money.get_mut(&(server.clone(), app.clone())) {
            *used = used.less(*guessed).plus(cost);
        }
    }
}

/// What a request may cost, by what is known before it is asked.
fn guess(price: &Price, envelope: &Envelope) -> Money {
    let (prompt, answer) = match envelope.kind {
        RequestKind::Generate => (envelope.size.0.div_ceil(limits::BYTES_OF_TOKEN), limits::TOKENS_OF_ANSWER),
        // What the training itself costs, only the server knows; that it reads all of it is certain.
        RequestKind::Train => (envelope.size.0.div_ceil(limits::BYTES_OF_TOKEN), 0),
        RequestKind::Infer => (0, 0),
    };
    price.of(envelope.size, prompt, answer)
}

impl Core {
    /// What an operator allows. Replaces what was allowed before.
    pub(crate) fn budgets_set(&mut self, budgets: Budgets) {
        self.spending.budgets = budgets;
    }

    /// What was spent before this start; of another day than the one that is counted, the later counts.
    pub(crate) fn spent_before(&mut self, spent: Spent) {
        if spent.day >= self.spending.spent.day {
            self.spending.spent = spent;
        }
    }

    /// What is allowed and what is spent, today.
    pub fn spending(&self) -> SpendingView {
        let Spending { budgets, spent, .. } = &self.spending;
        SpendingView { budgets: budgets.clone(), share: self.spending.share(), spent: spent.clone() }
    }

    /// Counts the nodes of this site: a member came, changed or went.
    pub(crate) fn count_mates(&mut self) {
        let mates = self.peers.iter().map(|peer| &peer.member);
        let mates = mates.filter(|member| member.site == self.me.site && !self.is_endpoint(member.node));
        self.spending.mates = mates.count() as u64;
    }

    /// Begins a new day, if one has begun.
    pub(crate) fn turn_the_day(&mut self) {
        match self.calendar.day(self.now) {
            Some(day) if day > self.spending.spent.day => self.spending.spent = Spent { day, ..Spent::default() },
            // The clock was ahead, and was set right: what was spent then is spent of this day.
            Some(day) => self.spending.spent.day = day,
            None => {}
        }
    }

    /// How payload gets to a member or a server.
    pub(crate) fn link_to(&self, member: &Member) -> Option<Link> {
        match self.kind_of(member.node) {
            PlaceKind::Home => None,
            PlaceKind::Cloud => Some(Link::Cloud),
            PlaceKind::Peer => Some(self.link_between(&member.site, member.jurisdiction)),
        }
    }

    fn link_between(&self, site: &SiteName, jurisdiction: Jurisdiction) -> Link {
        Link::between((&self.me.site, self.me.jurisdiction), (site, jurisdiction))
    }

    /// Whether a server may be asked for an app at all.
    pub(crate) fn is_for(&self, app: &AppName, server: &Member) -> bool {
        let purse = self.spending.budgets.purses.get(&server.site).filter(|_| self.is_endpoint(server.node));
        purse.and_then(|purse| purse.apps.as_ref()).is_none_or(|apps| apps.contains(app))
    }

    /// The budget that leaves no room for a request at a place.
    pub(crate) fn over_budget(&self, envelope: &Envelope, peer: &Peer) -> Option<Budget> {
        let link = self.link_to(&peer.member)?;
        let server = self.is_endpoint(peer.member.node).then_some(&peer.member.site);
        self.spending.over(&envelope.app, link, server, envelope)
    }

    /// Refuses a request for which no place is left but those that a budget does not let it go to; `false` if that is not so.
    pub(crate) fn refuse_for_budget(&mut self, id: RequestId, circle: &Circle) -> bool {
        let Some(request) = self.requests.get(&id) else { return false };
        let envelope = &request.envelope;
        let places = circle.ready.iter().chain(&circle.cold).chain(&circle.endpoints);
        // Where it failed it would not go again, whatever that costs.
        let places = places.filter(|(node, _)| !request.tried.contains(node));
        let places = places.filter_map(|(node, _)| self.peers.get(*node));
        let places = places.filter(|peer| self.is_for(&envelope.app, &peer.member));
        let budgets: Option<Vec<Budget>> = places.map(|peer| self.over_budget(envelope, peer)).collect();
        let Some(budget) = budgets.and_then(|budgets| budgets.into_iter().next()) else { return false };
        let subject = self.subject(id, Attempt(0), envelope, request.digest);
        let rule = RuleId::parse(BUDGET_RULE).expect("a word is an id");
        self.note(Fact::Denied { subject, rule: Some(rule), considered: circle.considered });
        let renewed = self.calendar.until_midnight(self.now);
        self.refuse(id, Refusal::BudgetSpent { budget, renewed });
        true
    }

    /// Counts a request that is about to leave for a place.
    pub(crate) fn count_leaving(&mut self, envelope: &Envelope, node: NodeId) -> Held {
        let Some(member) = self.peers.get(node).map(|peer| &peer.member) else { return Held::default() };
        let Some(link) = self.link_to(member) else { return Held::default() };
        let server = self.is_endpoint(node).then(|| member.site.clone());
        let money = server.map(|server| {
            let money = guess(&self.spending.price(&server), envelope);
            (server, money)
        });
        let (day, app) = (self.spending.spent.day, self.spending.name_of(&envelope.app));
        let counted = Counted { day, link, app, bytes: envelope.size, money };
        self.spending.count(&counted);
        Held(Some(counted))
    }

    /// An attempt elsewhere is over.
    pub(crate) fn settle_spending(&mut self, held: &Held, bill: Bill) {
        self.spending.settle(held, bill);
    }

    /// A request was answered by this node or a peer, and not by a server that wants money.
    pub(crate) fn count_saved(&mut self, id: RequestId, by: NodeId, cost: Cost) {
        let Some(envelope) = self.requests.get(&id).map(|request| &request.envelope) else { return };
        let Some(compared) = self.spending.budgets.compared.clone().filter(|_| !self.is_endpoint(by)) else { return };
        let price =
            self.spending.price(&compared).of(envelope.size, cost.prompt_tokens.into(), cost.output_tokens.into());
        self.spending.spent.saved = self.spending.spent.saved.plus(price);
    }

    /// The answer to a peer left.
    pub(crate) fn count_answer(&mut self, to: &Counterpart, bytes: ByteCount) {
        self.turn_the_day();
        let link = self.link_between(&to.site, to.jurisdiction);
        let flow = &mut self.spending.spent.links[link as usize];
        flow.answers.0 = flow.answers.0.saturating_add(bytes.0);
    }

    /// Payload passed a relay.
    pub(crate) fn count_relayed(&mut self, flow: Flow) {
        self.turn_the_day();
        let relayed = &mut self.spending.spent.relayed;
        relayed.requests.0 = relayed.requests.0.saturating_add(flow.requests.0);
        relayed.answers.0 = relayed.answers.0.saturating_add(flow.answers.0);
    }

    /// Whether nothing more may leave for a peer: then its requests are not taken in, for their answers would.
    pub(crate) fn is_spent_for(&mut self, from: &Counterpart) -> bool {
        self.turn_the_day();
        let leaves = self.link_between(&from.site, from.jurisdiction).leaves_the_site();
        let spent = self.spending.share().is_some_and(|share| self.spending.spent.out_of_site() >= share);
        leaves && spent
    }

    /// Why a place is passed over for what it would cost.
    pub(crate) fn unaffordable(&self, request: &Request, peer: &Peer) -> Option<&'static str> {
        if !self.is_for(&request.envelope.app, &peer.member) {
            return Some("it is not for this app");
        }
        self.over_budget(&request.envelope, peer).map(|_| "a budget of what may leave today is spent")
    }
}
