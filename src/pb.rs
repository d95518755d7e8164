//! The protocol, generated from `proto/mailfactor/v1`.

/// `mailfactor.v1`.
pub mod v1 {
    #![allow(
        clippy::all,
        clippy::pedantic,
        clippy::allow_attributes,
        clippy::allow_attributes_without_reason,
        missing_docs,
        unused_qualifications,
        reason = "generated code"
    )]

    tonic::include_proto!("mailfactor.v1");
}

/// The descriptors, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/mailfactor.bin"));
