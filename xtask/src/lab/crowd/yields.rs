//! What a model on its way to all does to requests whose payload goes over the same line.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::board::{Figure, Goal, Part, plain};
use super::request::asked_while;
use super::spread::{fetched, filled, known};
use super::{Crowd, Crowded, quantile};
use crate::lab::net::within;

/// p99 while a model is given, over p99 while one plain stream takes its share of the line.
const WORSE_MAX: f64 = 1.1;

/// Megabits a second of each line.
const MEGABITS: u64 = 25;

/// Bytes of a question, and of its answer.
const SIZE: usize = 16 << 10;

/// How long a stream lasts that is compared with.
const BESIDE: Duration = Duration::from_secs(20);

/// Far longer than the model takes.
const PATIENCE: Duration = Duration::from_secs(180);

/// Where the stream goes.
const PORT: u16 = 7300;

pub(super) fn part(given: &Crowded) -> Result<Part, String> {
    let lab = &given.lab;
    let (count, mebibytes) = given.pick((6, 64), (4, 16));
    std::fs::create_dir_all(&lab.scratch).map_err(|error| format!("{}: {error}", lab.scratch.display()))?;
    let file = lab.scratch.join("model");
    filled(&file, mebibytes, lab.seed)?;
    let crowd = Crowd::of(lab, count)?;
    crowd.hold("echo", "kind=infer prefill_us=0 slots=4", &[1])?;
    crowd.nodes[0].add(&file, "model")?;
    known(&crowd.nodes, "model")?;
    for node in &crowd.nodes {
        crowd.hall.bound(&node.name, MEGABITS * 1_000_000)?;
    }
    let alone = asked_while(&crowd, 0, SIZE, |asked| asked < 500)?;
    let streamed = beside(&crowd)?;
    let over = AtomicBool::new(false);
    let whom: Vec<usize> = (1..count).collect();
    let (asked, ran) = std::thread::scope(|scope| {
        let asking = scope.spawn(|| asked_while(&crowd, 0, SIZE, |_| !over.load(Ordering::Relaxed)));
        let ran = fetched(&crowd, &whom, "model", 1, PATIENCE);
        over.store(true, Ordering::Relaxed);
        (asking.join().expect("asking does not panic"), ran)
    });
    let (asked, ran) = (asked?, ran?);
    let late = |times: &[f64]| quantile(times, 0.99) / 1e3;
    let said = |times: &[f64]| {
        format!("p50 {}, p99 {} ms of {}", plain(quantile(times, 0.5) / 1e3), plain(late(times)), times.len())
    };
    Ok(Part {
        title: "Requests beside a model on its way",
        about: format!(
            "{count} nodes, lines of {MEGABITS} Mbit/s. A client asks the node that has a model of {mebibytes} MiB, one question of \
             {SIZE} bytes at a time, for an answer that another node gives; the question leaves over the line over which the model \
             goes to all others, that one among them. For the line's own share the same is asked while one plain stream (TCP, CUBIC) \
             goes over the line instead."
        ),
        figures: vec![
            Figure::told("p99 while the model is given, over p99 beside one plain stream", late(&asked) / late(&streamed), "×")
                .goal(Goal::AtMost(WORSE_MAX))
                .more(format!("the model took {:.1} s; {}", ran.last(), said(&asked)))
                .why(
                    "the line of whoever answers carries the model as well, beside the plain stream it is free; each of up to five \
                     takers has a window of its own, an eighth of CUBIC's at least, and packets of a new one fill the queue once \
                     before its delay is known",
                ),
            Figure::told("p99 on idle lines", late(&alone), "ms").more(said(&alone)),
            Figure::told("p99 beside one plain stream", late(&streamed), "ms").more(said(&streamed)),
        ],
        below: String::new(),
        failed: Vec::new(),
    })
}

/// Asks while a plain stream goes from the same node to a third.
fn beside(crowd: &Crowd) -> Result<Vec<f64>, String> {
    let to = crowd.nodes[2].at(PORT);
    let listener = within(&format!("n-{}", crowd.nodes[2].name), || TcpListener::bind(&to))?;
    let listener = listener.map_err(|error| format!("{to}: {error}"))?;
    let (until, over) = (Instant::now() + BESIDE, AtomicBool::new(false));
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let (mut stream, _) = listener.accept()?;
            let mut some = vec![0; 64 << 10];
            while stream.read(&mut some)? > 0 {}
            std::io::Result::Ok(())
        });
        let writing = scope.spawn(|| {
            within(&format!("n-{}", crowd.nodes[0].name), || {
                let mut stream = TcpStream::connect(&to)?;
                let some = vec![0; 64 << 10];
                while !over.load(Ordering::Relaxed) {
                    stream.write_all(&some)?;
                }
                std::io::Result::Ok(())
            })
        });
        let asked = asked_while(crowd, 0, SIZE, |_| Instant::now() < until);
        over.store(true, Ordering::Relaxed);
        let text = |error: std::io::Error| format!("a plain stream: {error}");
        writing.join().expect("writing does not panic")?.map_err(text)?;
        reading.join().expect("reading does not panic").map_err(text)?;
        asked
    })
}
