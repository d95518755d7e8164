//! A visitor: a caller on a call.

use std::{net::SocketAddr, ops::Deref, sync::Arc};

use super::caller::Caller;

/// A caller, and where one call of its comes from. Whoever only asks who is calling takes it for its caller.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// Who is calling.
    pub caller: Arc<Caller>,
    /// The other end of the connection.
    pub peer: SocketAddr,
    /// What the caller names the call, for its own records; empty: nothing.
    pub request_id: String,
}

impl Deref for Visitor {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.caller
    }
}
