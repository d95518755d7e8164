//! Compiles the protocol with protox, a protobuf compiler in Rust: building needs no protoc.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;

const PROTOS: [&str; 6] = [
    "mailfactor/v1/authenticator.proto",
    "mailfactor/v1/policy.proto",
    "mailfactor/v1/outbox.proto",
    "mailfactor/v1/audit.proto",
    "mailfactor/v1/inbox.proto",
    "mailfactor/v1/repository.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(PROTOS, ["proto"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    // Reflection serves the descriptors as they are, comments and all.
    fs::write(out.join("mailfactor.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
