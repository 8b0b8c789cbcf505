//! Networks that are cut: both ways, one way, and between some.

use std::time::{Duration, Instant};

use super::crash::{explained, knows, said, with_two_holders};
use super::{TALKER, most, must, seconds};
use crate::lab::Lab;
use crate::lab::mesh::Mesh;
use crate::lab::net::{Nat, shell};
use crate::lab::node::{PATIENCE, wait, watch};
use crate::lab::queue::Shape;

/// A cut is noticed within this.
const NOTICED: Duration = Duration::from_secs(5);

/// … and looked for a little longer, so that a miss says by how much.
const LOOKED: Duration = Duration::from_secs(15);

/// A stream whose line moved goes on within this, which is before its place would be given up as stuck. What was sent to the
/// old address is sent again when the transport (noq 1.4) drops the path, three timeouts of that path after the other end
/// gave it up, and a timeout is ten times as long if the last round trip measured on it has the change in it.
const MOVED: Duration = Duration::from_secs(2);

/// A healed network is whole again within this: the longest pause between dials, thrice.
const HEALED: Duration = Duration::from_secs(15);

pub(super) fn partition(lab: &Lab) -> Result<String, String> {
    let mesh = Mesh::of(lab, &["a", "b", "c"])?;
    mesh.nodes[0].add_stub("talker", TALKER)?;
    mesh.nodes[1].add_stub("talker", TALKER)?;
    let asks = || -> Result<Vec<Duration>, String> {
        (0..10)
            .map(|_| {
                let answer = mesh.nodes[0].chat("talker", "alone", 5)?;
                let by = answer.header("x-hither-served-by").to_owned();
                must(answer.status == 200 && by == "a", || format!("{} by {by:?}: {}", answer.status, answer.body))?;
                Ok(answer.took)
            })
            .collect()
    };
    let before = most(&asks()?);
    let cut = Instant::now();
    mesh.net.link(0).change_both(|shape| shape.cut = !lab.broken);
    let nodes = &mesh.nodes;
    let gone = |viewer: usize, other: usize| move || nodes[viewer].sees(&nodes[other].name) == Some(false);
    let (asked, when) = std::thread::scope(|scope| {
        // Right after the cut nobody knows of it yet.
        let asking = scope.spawn(asks);
        let when = watch(cut, LOOKED, &mut [&mut gone(1, 0), &mut gone(2, 0), &mut gone(0, 1), &mut gone(0, 2)]);
        (asking.join(), when)
    });
    let mut later = most(&asked.map_err(|_| "a client panicked")??);
    let noticed: Option<Vec<Duration>> = when.iter().copied().collect();
    let noticed =
        most(&noticed.ok_or(format!("within {}: B, C saw A gone, A saw B, C gone: {when:?}", seconds(LOOKED)))?);
    must(noticed <= NOTICED, || format!("noticed after {}", seconds(noticed)))?;
    let length = Duration::from_secs(if lab.quick { 5 } else { 15 });
    while cut.elapsed() < length {
        later = later.max(most(&asks()?));
    }
    // Words come every 20 ms; what a busy machine adds is let pass, a timeout is not.
    must(later <= before * 2 + Duration::from_millis(200), || {
        format!("at most {} before and {} while cut off", seconds(before), seconds(later))
    })?;
    mesh.net.link(0).change_both(|shape| shape.cut = false);
    let healed = mesh.together(HEALED)?;
    let answer = mesh.nodes[2].chat("talker", "healed", 5)?;
    must(answer.status == 200, || format!("after it: {} {}", answer.status, answer.body))?;
    Ok(format!(
        "all gone after {}; answers at home at most {} before, {} while cut; whole {} after it healed, 3 members on each",
        seconds(noticed),
        seconds(before),
        seconds(later),
        seconds(healed)
    ))
}

pub(super) fn one_way(lab: &Lab) -> Result<String, String> {
    let words = 500;
    let (mesh, reference) = with_two_holders(lab, TALKER, "one way", words)?;
    let mut stream = mesh.nodes[0].stream("talker", "one way", words)?;
    stream.until(20)?;
    let place = mesh.serving(0)?;
    let cut = Instant::now();
    if !lab.broken {
        shell("core", &format!("nft add rule ip lab pass ip saddr 10.1.0.0/16 ip daddr 10.{}.0.0/16 drop", place + 1))?;
    }
    let (near, far) = (&mesh.nodes[0], &mesh.nodes[place]);
    let when = watch(
        cut,
        LOOKED,
        &mut [&mut || near.sees(&far.name) == Some(false), &mut || far.sees(&near.name) == Some(false), &mut || {
            far.busy() == Some(0)
        }],
    );
    let [Some(near), Some(far), Some(stopped)] = when[..] else {
        return Err(format!("within {}: A saw B gone, B saw A gone, B's work ended: {when:?}", seconds(LOOKED)));
    };
    let heard = stream.rest(Duration::from_secs(20))?;
    heard.is_whole(&reference)?;
    let (pause, before) = heard.pause();
    let told = format!(
        "A saw B gone after {}, B saw A after {}; B's work ended after {}; the stream whole with {} migrations, longest \
         pause {} before word {before}",
        seconds(near),
        seconds(far),
        seconds(stopped),
        heard.number("migrations"),
        seconds(pause)
    );
    must(most(&[near, far, stopped, pause]) <= NOTICED, || told.clone())?;
    shell("core", "nft flush chain ip lab pass")?;
    let healed = mesh.together(HEALED)?;
    Ok(format!("{told}; healed after {}", seconds(healed)))
}

pub(super) fn readdressed(lab: &Lab) -> Result<String, String> {
    let words = 150;
    let mut mesh = Mesh::empty(lab)?;
    for name in ["a", "b", "c"] {
        mesh.site(lab, name, Shape::default(), Nat::Open)?;
    }
    mesh.nodes.iter_mut().for_each(|node| node.listen = "0.0.0.0:7000".to_owned());
    mesh.begin()?;
    for node in &mesh.nodes[1..] {
        node.add_stub("talker", TALKER)?;
    }
    let reference = said(&mesh, 1, "a new lease", words)?;
    for name in ["b", "c"] {
        wait("the origin knows who holds the model", PATIENCE, || knows(&mesh, 0, name))?;
    }
    // As many in a quick run: of two, one that takes long would be half.
    let hosts: &[u8] = if lab.broken { &[99] } else { &[99, 98, 97, 96] };
    let (mut pauses, mut together) = (Vec::new(), Vec::new());
    for (host, whose) in hosts.iter().flat_map(|host| [(*host, "the peer's"), (*host, "the origin's")]) {
        let mut stream = mesh.nodes[0].stream("talker", "a new lease", words)?;
        stream.until(20)?;
        let place = mesh.serving(0)?;
        let moved = if whose == "the peer's" { place } else { 0 };
        mesh.nodes[moved].readdress((moved > 0 || !lab.broken).then_some(host))?;
        let seen = mesh.together(HEALED);
        let heard = stream.rest(Duration::from_secs(20))?;
        let at = |what: String| {
            let request = if heard.done { &heard.told["request"] } else { &heard.fault["request"] };
            format!("{whose} address: {what}{}", explained(&mesh.nodes[0], request))
        };
        heard.is_whole(&reference).map_err(at)?;
        let migrations = heard.number("migrations");
        must(migrations == 0, || at(format!("{migrations} migrations")))?;
        let (pause, before) = heard.pause();
        must(pause <= MOVED, || at(format!("a pause of {} before word {before}", seconds(pause))))?;
        let seen = seen.map_err(at)?;
        must(seen <= NOTICED, || at(format!("all saw all after {}", seconds(seen))))?;
        pauses.push(pause);
        together.push(seen);
    }
    let short = pauses.iter().filter(|pause| **pause <= Duration::from_secs(1)).count();
    let told = pauses.iter().map(|pause| seconds(*pause)).collect::<Vec<_>>().join(", ");
    must(short * 4 >= pauses.len() * 3, || format!("pauses of {told}"))?;
    Ok(format!(
        "{} changes, the peer's and the origin's in turn: all whole, 0 migrations, pauses {told}; all see all after {}",
        pauses.len(),
        seconds(most(&together))
    ))
}

pub(super) fn not_transitive(lab: &Lab) -> Result<String, String> {
    let mesh = Mesh::of(lab, &["a", "b", "c"])?;
    mesh.nodes[2].add_stub("talker", TALKER)?;
    wait("A is served by C", PATIENCE, || {
        mesh.nodes[0].chat("talker", "through", 5).ok().filter(|answer| answer.status == 200)
    })?;
    mesh.net.part(0, 2)?;
    if lab.broken {
        mesh.net.part(0, 1)?;
    }
    let lost = mesh.lost(0, 2, LOOKED)?;
    must(lost <= NOTICED, || format!("A saw that C was gone after {}", seconds(lost)))?;
    let refused = mesh.nodes[0].chat("talker", "through", 5)?;
    let code = refused.header("x-hither-code").to_owned();
    must(refused.status >= 400 && refused.took <= Duration::from_secs(10), || {
        format!("A without a place: {} after {}", refused.status, seconds(refused.took))
    })?;
    let through = mesh.nodes[1].chat("talker", "through", 5)?;
    must(through.status == 200, || format!("B by way of C: {} {}", through.status, through.body))?;
    let mut seen = [(Some(true), 0), (Some(false), 0)];
    let watched = Instant::now();
    while watched.elapsed() < Duration::from_secs(if lab.quick { 4 } else { 15 }) {
        for (name, (was, changes)) in ["b", "c"].into_iter().zip(&mut seen) {
            let now = mesh.nodes[0].sees(name);
            if now != *was {
                (*was, *changes) = (now, *changes + 1);
            }
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    must(seen.iter().all(|(_, changes)| *changes == 0), || format!("A saw B and C change: {seen:?}"))?;
    mesh.nodes[1].add_stub("talker", TALKER)?;
    let reference = said(&mesh, 1, "by b", 5)?;
    let (answer, _) = wait("A uses B", Duration::from_secs(10), || {
        mesh.nodes[0].chat("talker", "by b", 5).ok().filter(|answer| answer.status == 200)
    })?;
    let (by, text) = (answer.header("x-hither-served-by"), &answer.body["choices"][0]["message"]["content"]);
    must(by == "b" && *text == reference, || format!("by {by}: {text}"))?;
    mesh.net.unpart()?;
    let healed = mesh.together(HEALED)?;
    Ok(format!(
        "C gone for A after {}; A refused after {} ({} {code}); B used C meanwhile; no change in what A saw; B used once it \
         held the model; healed after {}",
        seconds(lost),
        seconds(refused.took),
        refused.status,
        seconds(healed)
    ))
}
