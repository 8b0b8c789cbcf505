//! Chores in Rust. `cargo xtask tidy` runs what `cargo test -p xtask` runs, and says what is wrong; `cargo xtask figures`
//! writes what the documentation shows; `cargo xtask rivals engines` and `… gateway` measure this
//! program beside others; `cargo xtask fuzz` runs the fuzz targets; `cargo xtask mutants-core` plants bugs in the mind and
//! looks who finds them; `cargo xtask lab` plays faults of networks and processes to real nodes; `cargo xtask mesh` measures
//! what a mesh of dozens of them costs.

mod figures;
mod fuzz;
mod lab;
mod mutants;
mod operators;
mod previous;
mod real;
mod rivals;
mod seeds;
mod tidy;

const USAGE: &str = "usage: cargo xtask tidy
       cargo xtask figures [NAME …] [--quick] [--to DIRECTORY]
       cargo xtask real [--seed N …] [--hither PROGRAM] [--to DIRECTORY]
       cargo xtask operators [--to DIRECTORY]
       cargo xtask lab [--hither PROGRAM] [--previous PROGRAM] [--row N …] [--quick] [--broken] [--seed N] [--to DIRECTORY]
       cargo xtask previous [--commit REVISION]
       cargo xtask mesh [--hither PROGRAM] [--part idle|request|revoke|churn|flood|detect|spread|ways|kills|yields …] [--quick] [--seed N]
                        [--nodes N …] [--commit WHICH] [--to DIRECTORY]
       cargo xtask rivals engines [--rounds N] [--only onnx|http|language|idle …] [--hither PROGRAM] [--to DIRECTORY]
       cargo xtask fuzz [http|framing|grpc|gguf|onnx|work …] [--minutes N]
       cargo xtask rivals gateway [--rounds N] [--part hop|triton|router|stream|idle|faults|hostile …] [--hither PROGRAM]
                                  [--to DIRECTORY]
       cargo xtask seeds N
       cargo xtask mutants-core [BUG …]";

fn main() -> std::process::ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.split_first() {
        Some((chore, [])) if chore == "tidy" => report(tidy::all()),
        Some((chore, rest)) if chore == "figures" => match figures::figures(rest) {
            Ok(faults) => report(faults),
            Err(error) => usage(&error),
        },
        Some((chore, rest)) if chore == "real" => match real::real(rest) {
            Ok(faults) => report(faults),
            Err(error) => usage(&error),
        },
        Some((chore, rest)) if chore == "operators" => match operators::operators(rest) {
            Ok(faults) => report(faults),
            Err(error) => usage(&error),
        },
        Some((chore, rest)) if chore == "lab" => match lab::lab(rest) {
            Ok(faults) => report(faults),
            Err(error) => usage(&error),
        },
        Some((chore, rest)) if chore == "mesh" => match lab::crowd_mesh(rest) {
            Ok(faults) => report(faults),
            Err(error) => usage(&error),
        },
        Some((chore, rest)) if chore == "previous" => match previous::previous(rest) {
            Ok(faults) => report(faults),
            Err(error) => usage(&error),
        },
        Some((chore, rest)) if chore == "rivals" => match rivals::rivals(rest) {
            Ok(faults) => report(faults),
            Err(error) => usage(&error),
        },
        Some((chore, rest)) if chore == "fuzz" => match fuzz::fuzz(rest) {
            Ok(faults) => report(faults),
            Err(error) => usage(&error),
        },
        Some((chore, rest)) if chore == "seeds" => match seeds::seeds(rest) {
            Ok(faults) => report(faults),
            Err(error) => usage(&error),
        },
        Some((chore, rest)) if chore == "mutants-core" => report(mutants::mutants(rest)),
        _ => usage("no such chore"),
    }
}

fn usage(error: &str) -> std::process::ExitCode {
    eprintln!("{error}\n{USAGE}");
    std::process::ExitCode::from(2)
}

fn report(faults: Vec<String>) -> std::process::ExitCode {
    for fault in &faults {
        eprintln!("{fault}");
    }
    std::process::ExitCode::from(u8::from(!faults.is_empty()))
}
