//! Makes the messages and the service of the inference protocol from `proto/`. No `protoc` is needed.

use std::path::PathBuf;

use prost::Message;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    let files = protox::compile(["inference.proto"], ["proto"])?;
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo says where to write")?);
    // What reflection tells clients.
    std::fs::write(out.join("inference.bin"), files.encode_to_vec())?;
    // `bytes`: the elements of a tensor are taken out of a message without a copy.
    tonic_prost_build::configure().bytes(".").compile_fds(files)?;
    Ok(())
}
