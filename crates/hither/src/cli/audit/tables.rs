//! The tables of a report.

use std::fmt::Display;

use hither_ledger::audit::{Audit, Between, Course, Draw, First, Happened, Refuser, Use, Word, Work};
use hither_ledger::{Kind, Record};
use hither_types::fact::Outcome;
use hither_types::id::Digest;
use hither_types::kernel::KernelFault;
use hither_types::place::Jurisdiction;
use hither_types::spending::Link;

/// Before a moment that is the last on which something may have been.
pub(super) const OR_BEFORE: &str = "on or before ";

/// One table; each row has as many cells as there are columns.
pub(super) struct Table {
    /// Its name for machines.
    pub(super) name: &'static str,
    /// Its name for people.
    pub(super) title: &'static str,
    /// What its numbers mean.
    pub(super) note: &'static str,
    /// Heads.
    pub(super) columns: &'static [&'static str],
    /// Cells.
    pub(super) rows: Vec<Vec<String>>,
}

/// Many in one cell.
pub(super) fn joined<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}

/// What is not there is said to be so.
pub(super) fn or_none<T: Display>(item: Option<T>) -> String {
    item.map_or_else(|| "none stated".to_owned(), |item| item.to_string())
}

fn or_unknown<T: Display>(item: Option<T>) -> String {
    item.map_or_else(|| "not known".to_owned(), |item| item.to_string())
}

/// The model that a request ran on, and what was asked for if that is another; of its file as much as tells it from others in the
/// table of models.
fn model(work: &Work) -> String {
    match &work.ran {
        None => work.model.to_string(),
        Some(ran) if ran.model == work.model => format!("{} (file {})", work.model, short(&ran.digest)),
        Some(ran) => format!("{} for {} (file {})", ran.model, work.model, short(&ran.digest)),
    }
}

fn short(digest: &Digest) -> String {
    format!("b3:{}…", &digest.to_string()[..12])
}

fn ends(span: &Option<(String, String)>) -> [String; 2] {
    span.clone().map_or_else(Default::default, |(first, last)| [first, last])
}

pub(super) fn ledgers(audit: &Audit) -> Table {
    let row = |ledger: &hither_ledger::audit::Audited| {
        let [first, last] = ends(&ledger.span);
        vec![
            ledger.report.node.to_string(),
            or_unknown(ledger.here.as_ref().map(|here| &here.site)),
            or_unknown(ledger.here.as_ref().map(|here| here.jurisdiction)),
            or_unknown(ledger.here.as_ref().and_then(|here| here.operator.as_ref())),
            or_unknown(ledger.here.as_ref().map(|here| here.assurance)),
            ledger.report.records.to_string(),
            ledger.report.signed.to_string(),
            hither_types::id::Digest(ledger.report.root).to_string(),
            ledger.report.dropped.to_string(),
            first,
            last,
        ]
    };
    Table {
        name: "ledgers",
        title: "The ledgers",
        note: "Of each: how many records there are and up to which the node signed them, the root of their Merkle tree, \
               and how many were lost while a disk took none.",
        columns: &[
            "node",
            "site",
            "place",
            "operator",
            "assurance",
            "records",
            "signed",
            "root",
            "lost",
            "first",
            "last",
        ],
        rows: audit.ledgers.iter().map(row).collect(),
    }
}

pub(super) fn work(audit: &Audit) -> Table {
    let rows = audit.work.iter().map(|(work, ended)| {
        let [first, last] = ends(&ended.span);
        vec![
            work.app.to_string(),
            model(work),
            work.class.to_string(),
            or_none(work.purpose.as_ref()),
            joined(&ended.tags),
            joined(&ended.subjects),
            ended.here.to_string(),
            ended.elsewhere.to_string(),
            ended.refused.to_string(),
            ended.cancelled.to_string(),
            format!("{:.3}", ended.energy_mj as f64 / 1000.0),
            first,
            last,
        ]
    });
    Table {
        name: "requests",
        title: "Requests",
        note: "Counted where they entered: answered by that node (here), by another place (elsewhere), refused or failed, \
               given up by the client. First is the start of the first of them and last the end of the last. A model that ran in the place of another, as a smaller one of its family or a version of \
               it, is named with what was asked for and with its file: the law was asked about that one. Joules are those of the nodes at which they entered.",
        columns: &[
            "app",
            "model",
            "class",
            "purpose",
            "tags",
            "concerns people in",
            "here",
            "elsewhere",
            "refused",
            "cancelled",
            "joules",
            "first",
            "last",
        ],
        rows: rows.collect(),
    }
}

pub(super) fn uses(audit: &Audit) -> Table {
    let row = |one: &Use| {
        let outcome = match one.outcome {
            Outcome::Answered => "answered",
            Outcome::Refused => "refused or failed",
            Outcome::Cancelled => "given up",
        };
        let by = one.served_by.map_or_else(String::new, |by| match by == one.node {
            true => "here".to_owned(),
            false => by.short(),
        });
        vec![
            or_unknown(one.began.as_ref()),
            one.ended.clone(),
            one.node.short(),
            one.request.to_string(),
            one.work.app.to_string(),
            model(&one.work),
            one.work.class.to_string(),
            outcome.to_owned(),
            by,
        ]
    };
    Table {
        name: "uses",
        title: "Each use, from its start to its end",
        note: "Where it entered, by the clock of that node. A start that is not known was written by a program of before \
               starts were. By: the node that answered.",
        columns: &["start", "end", "entered at", "request", "app", "model", "class", "ended", "by"],
        rows: audit.uses.iter().map(row).collect(),
    }
}

/// Which way payload went, and whether that left its country.
pub(super) fn way(course: &Course) -> &'static str {
    match (course.link, course.crosses()) {
        (Some(Link::Cloud), Some(true)) => "cloud, cross-border",
        (Some(Link::Cloud), None) => "cloud, border not known",
        (Some(link), _) => link.as_str(),
        // Who wrote it said nothing of what the place was to it.
        (None, Some(true)) => "crosses a border",
        (None, Some(false)) => "in the country",
        (None, None) => "not known",
    }
}

pub(super) fn transfers(audit: &Audit, wanted: impl Fn(&Course) -> bool) -> Table {
    let rows = audit.courses.iter().filter(|(course, _)| wanted(course)).map(|(course, moved)| {
        let [first, last] = ends(&moved.span);
        vec![
            or_unknown(course.from),
            course.to.to_string(),
            course.site.to_string(),
            or_unknown(course.operator.as_ref()),
            way(course).to_owned(),
            course.way.as_str().to_owned(),
            course.work.app.to_string(),
            model(&course.work),
            course.work.class.to_string(),
            or_none(course.work.purpose.as_ref()),
            or_unknown(course.rule.as_ref()),
            course.relay.map_or_else(String::new, |(node, place)| format!("{} ({})", node.short(), or_unknown(place))),
            joined(&moved.subjects),
            moved.transfers.to_string(),
            // Most have none, and paper is not wide.
            if moved.unsettled == 0 { String::new() } else { moved.unsettled.to_string() },
            moved.bytes.0.to_string(),
            first,
            last,
        ]
    });
    Table {
        name: "transfers",
        title: "What left",
        note: "Payload that was given to the network, by the place that it went to and the rule that permitted it. \
               Unsettled: permitted, and still under way, or the node ended before it wrote what became of it. Of such \
               requests all bytes count as sent; of such answers none, for their size is not known. Link: to a member of the same \
               site (lan), of another one in the country (inter-site) or in another country (cross-border), or to a server \
               outside the mesh (cloud). Over a relay: the ciphertext passed the machine of that member as well, by the rule \
               for relays.",
        columns: &[
            "from",
            "to",
            "site",
            "operator",
            "link",
            "with",
            "app",
            "model",
            "class",
            "purpose",
            "rule",
            "over the relay of",
            "concerns people in",
            "transfers",
            "unsettled",
            "bytes",
            "first",
            "last",
        ],
        rows: rows.collect(),
    }
}

pub(super) fn first(audit: &Audit) -> Table {
    let crossing = audit.first.iter().filter(|((from, to), _)| *from != Some(*to));
    let row = |((from, to), first): (&Between, &First)| {
        let by = match first.word {
            Word::Transfer => "the transfer itself",
            Word::Said => "first_transfer",
        };
        let before = if first.or_before { OR_BEFORE } else { "" };
        vec![or_unknown(*from), to.to_string(), format!("{before}{}", first.ts), by.to_owned()]
    };
    Table {
        name: "first",
        title: "First transfer to each country",
        note: "When payload was first permitted to leave and did, over the whole of the ledgers, whatever the period: some \
               laws count a deadline from it. Where older records were deleted it is known by the record first_transfer, \
               which stays; where there is none of it, or a ledger began after a loss (loss.accept), the oldest transfer \
               that is there, and the first may have been before.",
        columns: &["from", "to", "when", "known by"],
        rows: crossing.map(row).collect(),
    }
}

pub(super) fn refusals(audit: &Audit) -> Table {
    let rows = audit.refusals.iter().map(|(refusal, count)| {
        let by = match refusal.by {
            Refuser::Law => "the law",
            Refuser::Budget => "a budget",
            Refuser::Canary => "the law, as a test",
        };
        vec![
            by.to_owned(),
            refusal.work.app.to_string(),
            model(&refusal.work),
            refusal.work.class.to_string(),
            or_none(refusal.work.purpose.as_ref()),
            refusal.rule.as_ref().map_or_else(|| "nothing permits it".to_owned(), ToString::to_string),
            refusal.asked_from.as_ref().map_or_else(|| "an app here".to_owned(), ToString::to_string),
            count.to_string(),
        ]
    });
    Table {
        name: "refusals",
        title: "What was refused before it left",
        note: "By the law, with the rule that forbids it; by a budget of what may leave in a day; and by the law as a test: \
               every hour, and when its policy changes, a node asks whether a secret that nobody has might leave (app \
               canary). These are the pulse of the law, and no request of anybody.",
        columns: &["by", "app", "model", "class", "purpose", "rule", "asked from", "times"],
        rows: rows.collect(),
    }
}

fn happened(audit: &Audit, kinds: &[Kind], row: impl Fn(&Record) -> Vec<String>) -> Vec<Vec<String>> {
    let mut found: Vec<&Happened> = audit.of_kinds(kinds).collect();
    found.sort_by(|a, b| (&a.ts, a.node, a.record.seq).cmp(&(&b.ts, b.node, b.record.seq)));
    let line = |happened: &&Happened| {
        let Record { kind, seq, .. } = &happened.record;
        let head = [happened.ts.clone(), happened.node.short(), seq.to_string(), kind.to_string()];
        head.into_iter().chain(row(&happened.record)).collect()
    };
    found.iter().map(line).collect()
}

pub(super) fn law(audit: &Audit) -> Table {
    let row = |record: &Record| {
        let policy = record.policy.as_ref().map(|policy| format!("b3:{policy}")).unwrap_or_default();
        let by = record.by.map(|node| node.to_string()).unwrap_or_default();
        let build = record.build.as_ref().map(|build| format!(" ({build})")).unwrap_or_default();
        let program = format!("{}{build}", record.version.as_deref().unwrap_or_default());
        let given = record.to.map(|to| given_to(record, to)).unwrap_or_default();
        vec![policy, program, by, record.lists.join(" "), given]
    };
    Table {
        name: "law",
        title: "Which law was in force",
        note: "Every start of a node and every change of its policy, by the BLAKE3 digest of the policy's text; also the last \
               one before the period, which was in force when it began. One that came by the authority log was signed by \
               who published it. The program is its version and, in brackets, the id of its build (readelf -n shows that of \
               a file). bloc.change: a day came on which groups of countries that the policy lists have other \
               members, + came and - went. export: a copy of this ledger was handed to somebody, by rules of that policy.",
        columns: &["when", "node", "record", "what", "policy", "program", "published by", "lists", "copied for"],
        rows: happened(audit, &[Kind::ConfigStart, Kind::PolicyChange, Kind::BlocChange, Kind::Export], row),
    }
}

/// Who got a copy of a ledger, of how much, and by what.
fn given_to(record: &Record, to: Jurisdiction) -> String {
    let who = record.operator.as_ref().map_or_else(String::new, |operator| format!("{operator} in "));
    let rules = if record.rules.is_empty() { "no request on record".to_owned() } else { joined(&record.rules) };
    format!("{who}{to}: {} signed records, by {rules}", record.signed.unwrap_or_default())
}

pub(super) fn members(audit: &Audit) -> Table {
    let row = |record: &Record| match &record.place {
        None => vec![String::new(); 7],
        Some(place) => vec![
            place.node.to_string(),
            place.site.to_string(),
            place.jurisdiction.to_string(),
            or_unknown(place.operator.as_ref()),
            match place.control.as_deref() {
                None => "not known".to_owned(),
                Some([]) => "nobody".to_owned(),
                Some(states) => joined(states),
            },
            or_unknown(audit.here(record.node).and_then(|here| place.link_from(here)).map(Link::as_str)),
            place.assurance.to_string(),
        ],
    };
    Table {
        name: "members",
        title: "Who came and went",
        note: "As each node heard of it. Operator and who can compel them are what the member's certificate says. Link is the \
               way from the node that wrote. Assurance is how well it is known where a member stands: 0 claimed, 1 vouched \
               for by its certificate, 2 measured, 3 by hardware. member.moved: others measured that it answers from much \
               farther than before, as a stolen key does.",
        columns: &[
            "when",
            "node",
            "record",
            "what",
            "member",
            "site",
            "place",
            "operator",
            "compelled by",
            "link",
            "assurance",
        ],
        rows: happened(audit, &[Kind::MemberJoin, Kind::MemberRevoke, Kind::MemberLeave, Kind::MemberMoved], row),
    }
}

pub(super) fn models(audit: &Audit) -> Table {
    let kinds = [Kind::ModelAdmit, Kind::ModelPublish, Kind::ModelRollout, Kind::ModelJudged];
    let row = |record: &Record| {
        let model = record.model.as_ref().map(ToString::to_string).unwrap_or_default();
        vec![model, record.digest.as_ref().map(|digest| format!("b3:{digest}")).unwrap_or_default()]
    };
    Table {
        name: "models",
        title: "Models that came, changed and were judged",
        note: "By the BLAKE3 digest of their file.",
        columns: &["when", "node", "record", "what", "model", "file"],
        rows: happened(audit, &kinds, row),
    }
}

pub(super) fn kernel(audit: &Audit) -> Table {
    let row = |record: &Record| match (&record.kernel, record.unread) {
        (Some(kernel), _) => {
            let since = kernel.since.clone().unwrap_or_else(|| kernel.span.clone());
            let (counted, payload) = (kernel.lawful.0 + kernel.talk.0, kernel.payload.map(|payload| payload.0));
            let drift = payload.map(|payload| match counted.checked_sub(payload) {
                Some(more) => more.to_string(),
                None => format!("SHORT by {}", payload - counted),
            });
            let numbers = [kernel.lawful.0, kernel.talk.0, kernel.leak_packets].map(|number| number.to_string());
            let compared = [payload.map(|payload| payload.to_string()), drift];
            let compared = compared.map(|cell| cell.unwrap_or_else(|| "not compared".to_owned()));
            [since].into_iter().chain(numbers).chain(compared).collect()
        }
        (None, fault) => {
            let fault = format!("not known: {}", fault.map_or("", KernelFault::as_str));
            [fault].into_iter().chain(std::iter::repeat_n(String::new(), 5)).collect()
        }
    };
    Table {
        name: "kernel",
        title: "What a kernel counted",
        note: "Bytes that the kernel of the node's machine let through since the reading before: to members to whom the policy lets \
               something go (lawful), to other members (talk), and packets to anybody else, which it stopped (leak). Payload is \
               what arrived at members by the ledger in the same time; beside is what the kernel counted more: headers, who \
               is there, weights of models. A leak of 0 and no SHORT is what it should say. A reading that failed has no \
               numbers.",
        columns: &["when", "node", "record", "what", "since", "lawful", "talk", "leak packets", "payload", "beside"],
        rows: happened(audit, &[Kind::KernelCounted, Kind::KernelUnread], row),
    }
}

pub(super) fn lost(audit: &Audit) -> Table {
    let row = |record: &Record| {
        let signed = record.signed.map(|signed| format!("{signed} signed records put aside"));
        let file = record.sha256.map(|sha256| format!("their file is SHA-256 {sha256}"));
        let adopted = record.adopted.map(|adopted| format!("{adopted} taken over"));
        let cut = record.bytes_cut.map(|cut| format!("{cut} bytes cut"));
        let keys = keys_destroyed(record);
        let more = [signed, file, adopted, cut, keys].into_iter().flatten();
        vec![record.dropped.map(|dropped| dropped.to_string()).unwrap_or_default(), joined(more)]
    };
    Table {
        name: "lost",
        title: "What was lost, and clocks that jumped",
        note: "A gap names how many records a node could not write, for want of room on its disk; no transfer began in that \
               time. Recovered: what a crash had left was taken over, or an unfinished line was cut. loss.accept: a \
               damaged ledger was put aside by its operator, and this one began. reference.destroy: what records of an \
               app refer to can be shown by nobody any more.",
        columns: &["when", "node", "record", "what", "records lost", "more"],
        rows: happened(
            audit,
            &[Kind::Gap, Kind::Recovered, Kind::LossAccept, Kind::ClockJump, Kind::ReferenceDestroy],
            row,
        ),
    }
}

/// Whose references lost their keys, and by whose word.
fn keys_destroyed(record: &Record) -> Option<String> {
    let app = record.app.as_ref().filter(|_| record.kind == Kind::ReferenceDestroy)?;
    let word = record
        .policy
        .map_or_else(|| "by an operator".to_owned(), |policy| format!("by retention of b3:{}", policy.short()));
    Some(format!(
        "keys of references of {app} up to {}, {word}",
        record.day.as_deref().unwrap_or("a day that is not said")
    ))
}

/// Nothing if nothing is to be drawn.
pub(super) fn sample(audit: &Audit, draw: Draw) -> Option<Table> {
    let row = |record: &Record| {
        let place = record.place.as_ref().map(|place| format!("{} ({})", place.site, place.jurisdiction));
        vec![
            record.request.map(|request| request.to_string()).unwrap_or_default(),
            record.ts.clone(),
            record.node.short(),
            record.seq.to_string(),
            record.word().to_owned(),
            record.app.as_ref().map(ToString::to_string).unwrap_or_default(),
            record
                .ran
                .as_ref()
                .map(|ran| &ran.model)
                .or(record.model.as_ref())
                .map(ToString::to_string)
                .unwrap_or_default(),
            record.class.map(|class| class.to_string()).unwrap_or_default(),
            place.unwrap_or_default(),
            record.rule.as_ref().map(ToString::to_string).unwrap_or_default(),
            record.bytes_out.map(|bytes| bytes.0.to_string()).unwrap_or_default(),
        ]
    };
    (draw.count > 0).then(|| Table {
        name: "sample",
        title: "Requests that were drawn",
        note: "Those whose SHA-256 over the seed (8 bytes) and their number (16 bytes) is smallest: the same for whoever \
               draws from the same ledgers with the same seed. Every record about them is here, whatever the period.",
        columns: &[
            "request", "when", "node", "record", "what", "app", "model", "class", "place", "rule", "bytes out",
        ],
        rows: audit.sample.values().flatten().map(row).collect(),
    })
}
