//! How fast a language model reads and speaks here: `cargo run --release -p hither-llama --example speed MODEL [THREADS]`.

use std::path::PathBuf;
use std::time::Instant;

use hither_engine::engine::{Engine, JobId, Output};
use hither_engine::work::{GenerateWork, Prompt, Work};
use hither_llama::open;

const USAGE: &str = "usage: speed MODEL.gguf [THREADS]";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let model = PathBuf::from(arguments.next().ok_or(USAGE)?);
    let threads = arguments.next().map_or(Ok(1), |threads| threads.parse())?;
    let start = Instant::now();
    let mut engine = open(&model, threads, 1024, 4)?;
    println!("open: {} ms", start.elapsed().as_millis());
    for streams in [1, 4] {
        let start = Instant::now();
        for job in 0..streams {
            let prompt = Prompt::Text(format!("Story {job}: {}", "the sea was calm and ".repeat(100)));
            let work = GenerateWork { max_tokens: Some(64), ignore_eos: true, ..GenerateWork::new(prompt) };
            engine.admit(JobId(job), Work::Generate(work), Vec::new());
        }
        let mut tokens = 0;
        while engine.step(&mut |_, output| {
            if let Output::Done(cost) = output {
                tokens += cost.output_tokens;
                let rate = |count: u32, micros: u64| f64::from(count) * 1e6 / micros as f64;
                println!(
                    "{streams} at once: prompt of {} at {:.1}/s, then {} at {:.1}/s",
                    cost.prompt_tokens,
                    rate(cost.prompt_tokens, cost.prefill.0),
                    cost.output_tokens,
                    rate(cost.output_tokens - 1, cost.decode.0),
                );
            }
        }) {}
        println!("{streams} at once: {:.1} tokens/s over all", f64::from(tokens) / start.elapsed().as_secs_f64());
    }
    Ok(())
}
