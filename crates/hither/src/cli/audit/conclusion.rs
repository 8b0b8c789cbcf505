//! What the numbers of a report come to, in words. Each is a count of the tables below it, or said not to be known.

use std::collections::BTreeMap;

use hither_ledger::Kind;
use hither_ledger::audit::{Audit, Course, Ended, Moved, Way};
use hither_types::label::DataClass;
use hither_types::place::Jurisdiction;

/// For somebody who reads one paragraph.
pub(super) fn conclusion(audit: &Audit) -> String {
    let sentences =
        [entered(audit), left(audit, Way::Request), left(audit, Way::Answer), sensitive(audit), lost(audit)];
    let caveat = deleted(audit).then(|| {
        "Records of this period were deleted by retention: what they said is in none of these numbers.".to_owned()
    });
    let sentences: Vec<String> = sentences.into_iter().flatten().chain(caveat).collect();
    format!("In short, for this period: {}", sentences.join(" "))
}

/// What became of requests where they entered.
fn entered(audit: &Audit) -> Option<String> {
    let sum = |of: fn(&Ended) -> u64| audit.work.values().map(of).sum::<u64>();
    let (here, elsewhere) = (sum(|ended| ended.here), sum(|ended| ended.elsewhere));
    let (refused, cancelled) = (sum(|ended| ended.refused), sum(|ended| ended.cancelled));
    Some(match here + elsewhere + refused + cancelled {
        0 => "no request of an app entered.".to_owned(),
        all => format!(
            "{} of apps entered; {here} {} answered by the node at which they entered, {elsewhere} by another place, \
             {refused} refused or failed, {cancelled} given up.",
            counted(all, "request"),
            if here == 1 { "was" } else { "were" },
        ),
    })
}

/// How often payload was given to others, and for which countries.
fn left(audit: &Audit, way: Way) -> Option<String> {
    let (mut abroad, mut inside, mut unknown, mut unsettled) = (BTreeMap::<Jurisdiction, u64>::new(), 0, 0, 0);
    for (course, moved) in audit.courses.iter().filter(|(course, _)| course.way == way) {
        let count = times(moved);
        unsettled += moved.unsettled;
        match course.crosses() {
            None => unknown += count,
            Some(false) => inside += count,
            Some(true) => *abroad.entry(course.to.country()).or_default() += count,
        }
    }
    let (all, word) = (abroad.values().sum::<u64>(), way.as_str());
    let mut text = match (way, all, unknown) {
        // Who only asked answers nobody.
        (Way::Answer, 0, 0) => return None,
        (_, 0, 0) => format!("No {word} left its country"),
        (_, 0, _) => format!("Of no {word} it is known that it left its country"),
        _ => {
            let countries: Vec<String> = abroad.iter().map(|(to, count)| format!("{to} ({count})")).collect();
            let whose = if all == 1 { "its" } else { "their" };
            format!("{} left {whose} country, for {}", counted(all, word), countries.join(", "))
        }
    };
    if inside > 0 {
        text.push_str(&format!("; {inside} went to another place in it"));
    }
    if unknown > 0 {
        text.push_str(&format!("; of {unknown} that is not known, for their node never said where it stands"));
    }
    if unsettled > 0 {
        text.push_str(&format!(
            "; what became of {unsettled} of these is not on the record, and they count as if they had left"
        ));
    }
    text.push('.');
    Some(text)
}

/// What must not be missed, whichever way it went.
fn sensitive(audit: &Audit) -> Option<String> {
    let of = |crosses: Option<bool>| {
        let is_it = |course: &Course| course.work.class >= DataClass::Special && course.crosses() == crosses;
        audit.courses.iter().filter(|(course, _)| is_it(course)).map(|(_, moved)| times(moved)).sum::<u64>()
    };
    let text = match (of(Some(true)), of(None)) {
        (0, 0) => "Nothing with data of class special or secret crossed a border.".to_owned(),
        (0, unknown) => {
            format!(
                "Whether data of class special or secret crossed a border is not known of {}.",
                counted(unknown, "transfer")
            )
        }
        (known, 0) => format!("Data of class special or secret crossed a border {known} times."),
        (known, unknown) => format!(
            "Data of class special or secret crossed a border {known} times; of {unknown} more that is not known."
        ),
    };
    Some(text)
}

/// What the ledgers do not hold any more, by their own word.
fn lost(audit: &Audit) -> Option<String> {
    let dropped: u64 = audit.of_kinds(&[Kind::Gap]).filter_map(|gap| gap.record.dropped).sum();
    let ledgers = audit.of_kinds(&[Kind::LossAccept]).count() as u64;
    let cut =
        audit.of_kinds(&[Kind::Recovered]).filter(|found| found.record.bytes_cut.is_some_and(|cut| cut > 0)).count();
    let mut losses = Vec::new();
    if dropped > 0 {
        losses.push(format!("{} were lost while a disk took none", counted(dropped, "record")));
    }
    if ledgers > 0 {
        losses.push(format!(
            "{} put aside as damaged, and what was in it is in no number here",
            counted(ledgers, "ledger")
        ));
    }
    if cut > 0 {
        losses.push(format!("an unfinished line was cut {} after a crash", counted(cut as u64, "time")));
    }
    Some(match losses.is_empty() {
        true => "No record was lost.".to_owned(),
        false => format!("Not everything is there: {}.", losses.join("; ")),
    })
}

/// Whether records of the period were deleted.
fn deleted(audit: &Audit) -> bool {
    let to = audit.period.to.as_deref();
    let mut all = audit.ledgers.iter().flat_map(|ledger| &ledger.report.deleted);
    all.any(|deleted| !audit.period.is_before(&deleted.what.to) && to.is_none_or(|to| deleted.what.from.as_str() < to))
}

fn times(moved: &Moved) -> u64 {
    moved.transfers + moved.unsettled
}

fn counted(count: u64, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests;
