//! Compiles the protocol with protox, a protobuf compiler in Rust: building needs no protoc.

use std::{env, error::Error, fs, path::PathBuf};

use protox::Compiler;

const PROTOS: [&str; 7] = [
    "mailfactor/v1/authenticator.proto",
    "mailfactor/v1/policy.proto",
    "mailfactor/v1/outbox.proto",
    "mailfactor/v1/audit.proto",
    "mailfactor/v1/inbox.proto",
    "mailfactor/v1/repository.proto",
    "mailfactor/v1/errors.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let mut compiler = Compiler::new(["proto"])?;
    compiler
        .include_imports(true)
        .include_source_info(true)
        .open_files(PROTOS)?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    // As the compiler has them, comments and all: `prost_types` knows neither `debug_redact` nor options of others.
    fs::write(out.join("mailfactor.bin"), compiler.encode_file_descriptor_set())?;
    tonic_prost_build::configure().compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
