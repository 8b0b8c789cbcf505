//! Peers and networks that are slow, lossy or narrow.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::crash::{said, with_two_holders};
use super::{TALKER, must, seconds};
use crate::lab::Lab;
use crate::lab::mesh::Mesh;
use crate::lab::net::{enter, shell, within};
use crate::lab::node::{Node, PATIENCE, wait};
use crate::lab::queue::Shape;

/// How long a client listens to silence.
const SILENCE: Duration = Duration::from_secs(30);

/// What is frozen, and how long a stream may pause for it.
const FROZEN: [(&str, Duration); 2] = [("node", Duration::from_secs(1)), ("worker", Duration::from_secs(3))];

pub(super) fn frozen(lab: &Lab) -> Result<String, String> {
    let words = 150;
    let (mesh, reference) = with_two_holders(lab, TALKER, "frozen", words)?;
    let mut told = Vec::new();
    for (what, bound) in FROZEN {
        let mut stream = mesh.nodes[0].stream("talker", "frozen", words)?;
        stream.until(20)?;
        let place = mesh.serving(0)?;
        let mut frozen = freeze(&mesh.nodes[place], what)?;
        if lab.broken {
            frozen.extend(freeze(&mesh.nodes[3 - place], what)?);
        }
        let heard = stream.rest(SILENCE);
        for process in frozen {
            kill_process(process, Signal::CONT).map_err(|error| format!("kill -CONT: {error}"))?;
        }
        let heard = heard.map_err(|error| format!("{what} frozen: {error}"))?;
        heard.is_whole(&reference).map_err(|error| format!("{what} frozen: {error}"))?;
        let (pause, before) = heard.pause();
        must(pause <= bound, || format!("{what} frozen: a pause of {} before word {before}", seconds(pause)))?;
        must(heard.number("migrations") == 1, || format!("{what} frozen: told {}", heard.told))?;
        let name = &mesh.nodes[place].name;
        let (_, back) = wait("it is back", Duration::from_secs(15), || {
            (mesh.nodes[0].sees(name) == Some(true) && mesh.nodes[place].stage("talker")? == "ready").then_some(())
        })?;
        said(&mesh, place, "thawed", 5).map_err(|error| format!("{what} thawed: {error}"))?;
        told.push(format!("{what}: whole, 1 migration, pause {}, back after {}", seconds(pause), seconds(back)));
    }
    Ok(told.join("; "))
}

/// Stops a node, or its workers; gives what has to be continued.
fn freeze(node: &Node, what: &str) -> Result<Vec<Pid>, String> {
    let processes = if what == "node" { vec![node.process().ok_or("it runs")?] } else { node.workers() };
    must(!processes.is_empty(), || format!("{} has no worker", node.name))?;
    for process in &processes {
        kill_process(*process, Signal::STOP).map_err(|error| format!("kill -STOP: {error}"))?;
    }
    Ok(processes)
}

/// Words of each stream through a lossy link.
const LOSSY_WORDS: u32 = 100;

/// Loss in a million, delay and jitter of each of two links in milliseconds each way, reordering, bits in a second.
const SHAPES: [Through; 7] = [
    ("1 % 20 ms", 10_000, 5, 0, false, None),
    ("5 % 50 ms", 50_000, 12, 0, false, None),
    ("5 % 300 ms", 50_000, 75, 0, false, None),
    ("20 % 50 ms", 200_000, 12, 0, false, None),
    ("1 % 120 ms ± jitter", 10_000, 20, 20, false, None),
    ("1 % 120 ms, reordered", 10_000, 20, 20, true, None),
    ("1 Mbit/s 50 ms", 0, 12, 0, false, Some(1_000_000)),
];

pub(super) fn lossy(lab: &Lab) -> Result<String, String> {
    let mesh = Mesh::of(lab, &["a", "b"])?;
    mesh.nodes[1].add_stub("talker", TALKER)?;
    let reference = said(&mesh, 1, "lossy", LOSSY_WORDS)?;
    let (mut told, mut wrong) = (Vec::new(), Vec::new());
    for shape in SHAPES {
        match through(lab, &mesh, &reference, shape) {
            Ok(held) => told.push(held),
            Err(error) => wrong.push(error),
        }
        // The next begins with a peer that is there.
        mesh.net.sites.iter().for_each(|site| site.link.change_both(|shape| *shape = Shape::default()));
        mesh.together(Duration::from_secs(30))?;
        if lab.broken && !wrong.is_empty() {
            break;
        }
    }
    drop(mesh);
    if lab.broken {
        return Err(wrong.join("; "));
    }
    match file(&Lab { scratch: lab.scratch.join("file"), ..lab.clone_of() }) {
        Ok(held) => told.push(held),
        Err(error) => wrong.push(error),
    }
    must(wrong.is_empty(), || format!("NOT: {}; held: {}", wrong.join("; "), told.join("; ")))?;
    Ok(told.join("; "))
}

type Through = (&'static str, u32, u64, u64, bool, Option<u64>);

/// Three streams through links of one shape.
fn through(lab: &Lab, mesh: &Mesh, reference: &str, shape: Through) -> Result<String, String> {
    let (name, loss, delay, jitter, reorder, rate) = shape;
    // A packet passes two links, and each of them may lose it: half of the loss for each.
    let millis = Duration::from_millis;
    let loss_ppm = if lab.broken { 1_000_000 } else { loss / 2 };
    for site in 0..2 {
        mesh.net.link(site).change_both(|shape| {
            *shape =
                Shape { delay: millis(delay), jitter: millis(jitter), loss_ppm, reorder, bits_per_s: rate, ..*shape };
        });
    }
    let streams: Vec<_> =
        (0..3).map(|_| mesh.nodes[0].stream("talker", "lossy", LOSSY_WORDS)).collect::<Result<_, _>>()?;
    let began = Instant::now();
    let mut ejected = 0;
    let mut looked = 0;
    while began.elapsed() < Duration::from_secs(3) {
        ejected += u32::from(mesh.nodes[0].sees("b") == Some(false));
        looked += 1;
        std::thread::sleep(Duration::from_millis(100));
    }
    let (mut longest, mut last, mut whole, mut wrong) = (Duration::ZERO, Duration::ZERO, 0, Vec::new());
    for stream in streams {
        let heard = stream.rest(SILENCE).map_err(|error| format!("{name}: {error}"))?;
        // Beyond 5 % a stream may end, if it says so and every word of it was right.
        let may_end = loss > 50_000 && !lab.broken;
        match heard.is_whole(reference) {
            Ok(()) if may_end || heard.number("migrations") == 0 => whole += 1,
            Ok(()) => wrong.push(format!("told {}", heard.told)),
            Err(_) if may_end && !heard.fault.is_null() && reference.starts_with(&heard.text()) => {}
            Err(error) => wrong.push(error),
        }
        (longest, last) = (longest.max(heard.pause().0), last.max(heard.ended));
    }
    let told = format!("{name}: {whole} of 3 whole in {}, longest pause {}", seconds(last), seconds(longest));
    must(loss > 50_000 || ejected == 0, || format!("{told}; shown as gone {ejected} of {looked} times"))?;
    must(wrong.is_empty(), || format!("{told}; {}", wrong.join("; ")))?;
    Ok(told)
}

/// How long bytes are counted.
const COUNTED: Duration = Duration::from_secs(15);

/// A real model through loss, beside TCP through the same: megabytes in a second of each.
fn file(lab: &Lab) -> Result<String, String> {
    let home = std::env::var_os("HOME").map(PathBuf::from).ok_or("HOME is not set")?;
    let cache = std::env::var_os("HITHER_CACHE").map_or_else(|| home.join(".cache/hither"), PathBuf::from);
    let model = cache.join("models/SmolLM2-135M-Instruct.Q4_1.gguf");
    must(model.is_file(), || format!("{} is not there; fetch it with: make models", model.display()))?;
    let mesh = Mesh::of(lab, &["d", "e"])?;
    mesh.nodes[1].add(&model, "large")?;
    wait("the model is known", PATIENCE, || {
        mesh.nodes[0].view().ok()?["models"].as_array()?.iter().any(|model| model["name"] == "large").then_some(())
    })?;
    for site in 0..2 {
        mesh.net.link(site).change_both(|shape| *shape = Shape { loss_ppm: 25_000, ..Shape::delay_ms(5) });
    }
    let tcp = tcp(&mesh)?;
    mesh.nodes[0].run(&["models", "pull", "large"])?;
    std::thread::sleep(COUNTED);
    let view = mesh.nodes[0].view()?;
    let models = view["nodes"][0]["models"].as_array().cloned().unwrap_or_default();
    let ours = models.iter().find(|model| model["name"] == "large").and_then(|model| model["fetched"].as_u64());
    let rate = |bytes: u64| bytes as f64 / 1e6 / COUNTED.as_secs_f64();
    let ours = ours.unwrap_or(0);
    let told = format!("a file at 5 % and 20 ms: {:.2} MB/s, TCP (Reno) {:.2} MB/s", rate(ours), rate(tcp));
    must(ours * 2 >= tcp, || told.clone())?;
    Ok(told)
}

/// How many bytes TCP brings from the second machine to the first.
fn tcp(mesh: &Mesh) -> Result<u64, String> {
    let text = |error: std::io::Error| format!("TCP: {error}");
    let address = mesh.nodes[1].mesh.replace(":7000", ":7001");
    // What the system has chosen may take no notice of loss; QUIC does, and Reno is there in every namespace.
    shell("n-e", "echo reno > /proc/sys/net/ipv4/tcp_congestion_control")?;
    let listener = within("n-e", || TcpListener::bind(&address).map_err(text))??;
    // It ends when the receiver closes.
    let sender = std::thread::spawn(move || {
        let Ok((mut stream, _)) = listener.accept() else { return };
        while stream.write_all(&[7; 65_536]).is_ok() {}
    });
    let receiver = std::thread::spawn(move || -> Result<u64, String> {
        enter("n-d")?;
        let mut stream = TcpStream::connect(&address).map_err(text)?;
        stream.set_read_timeout(Some(COUNTED)).map_err(text)?;
        let (began, mut bytes, mut buffer) = (Instant::now(), 0, vec![0; 65_536]);
        while began.elapsed() < COUNTED {
            bytes += stream.read(&mut buffer).map_err(text)? as u64;
        }
        Ok(bytes)
    });
    let bytes = receiver.join().map_err(|_| "the receiver panicked")?;
    sender.join().map_err(|_| "the sender panicked")?;
    bytes
}

pub(super) fn narrow(lab: &Lab) -> Result<String, String> {
    let mut mesh = Mesh::of(lab, &["a", "b"])?;
    mesh.nodes[1].add_stub("talker", &format!("{TALKER} context=100000"))?;
    let prompt = "narrow ".repeat(60_000 / 7);
    let reference = said(&mesh, 1, &prompt, 20)?;
    let whole = |mesh: &Mesh, when: &str| -> Result<Duration, String> {
        let heard = mesh.nodes[0].stream("talker", &prompt, 20)?.rest(SILENCE)?;
        heard.is_whole(&reference).map_err(|error| format!("{when}: {error}"))?;
        must(heard.ended <= Duration::from_secs(10), || format!("{when}: {}", seconds(heard.ended)))?;
        Ok(heard.ended)
    };
    let before = whole(&mesh, "before it")?;
    // Time for both sides to find that 1500 bytes pass.
    std::thread::sleep(Duration::from_secs(3));
    for site in 0..2 {
        mesh.net.link(site).change_both(|shape| shape.swallow_above = if lab.broken { 600 } else { 1280 });
    }
    let running = whole(&mesh, "on a running connection")?;
    let swallowed: u64 = (0..2).flat_map(|site| mesh.net.link(site).counts()).map(|counts| counts.dropped).sum();
    mesh.nodes[1].kill();
    mesh.nodes[1].up()?;
    mesh.nodes[1].has("talker")?;
    mesh.together(Duration::from_secs(15))?;
    let fresh = whole(&mesh, "on a new connection")?;
    Ok(format!(
        "{} before; {} on the running connection, which lost {swallowed} packets to it; {} on a new one",
        seconds(before),
        seconds(running),
        seconds(fresh)
    ))
}
