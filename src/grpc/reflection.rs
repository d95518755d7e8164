//! Reflection: the protocol, read from the server, in both versions that clients ask for.

use tonic::service::Routes;
use tonic_reflection::server::{Builder, Error};

use super::tls::DoorError;
use crate::pb;

/// Adds both versions to the routes.
pub(super) fn add(routes: Routes, limit: usize) -> Result<Routes, DoorError> {
    let builder = || {
        Builder::configure()
            .register_encoded_file_descriptor_set(pb::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // The details of statuses: with them a client such as grpcurl shows what is wrong in words.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    let fault = |error: Error| DoorError::Reflection(error.to_string());
    let v1 = builder().build_v1().map_err(fault)?;
    let v1alpha = builder().build_v1alpha().map_err(fault)?;
    Ok(routes
        .add_service(v1.max_decoding_message_size(limit))
        .add_service(v1alpha.max_decoding_message_size(limit)))
}
