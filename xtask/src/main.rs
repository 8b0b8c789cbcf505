//! Chores in Rust. `cargo xtask tidy` runs what `cargo test -p xtask` runs, and says what is wrong.

mod tidy;

fn main() -> std::process::ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("tidy") => report(tidy::all()),
        _ => {
            eprintln!("usage: cargo xtask tidy");
            std::process::ExitCode::from(2)
        }
    }
}

fn report(faults: Vec<String>) -> std::process::ExitCode {
    for fault in &faults {
        eprintln!("{fault}");
    }
    std::process::ExitCode::from(u8::from(!faults.is_empty()))
}
