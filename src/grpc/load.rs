//! Room for calls: a bounded number is in work, and of that nobody takes more than a share. What finds no room waits for
//! a moment, in a queue of its caller's own, and is then refused.
//!
//! The figures follow from `server.limits.requests`. A caller with the role `authenticator` holds half of the places at
//! the most, any other caller an eighth; an eighth is in reserve for those of the role `authenticator` or `admin`, who
//! also go first. So whoever floods the service with one key finds its own calls refused, and nobody else's.

use std::{
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use tonic::Status;

use super::{
    accept::Peer,
    methods::{Kind, Method},
    status,
};
use crate::{
    domain::caller::{Caller, CallerId, Role},
    sync::fair::{FairPlace, FairPlaces, Full, Share},
};

/// When a refused caller should try again.
const RETRY: Duration = Duration::from_secs(1);

/// How long a call waits for a place: overload is answered within 50 ms.
const PATIENCE: Duration = Duration::from_millis(40);

/// Calls whose message is still under way, for each place.
const ARRIVING: usize = 2;

/// Who shares the room: callers, and where a method is anybody's the addresses that they come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Who {
    Caller(CallerId),
    Address(IpAddr),
}

/// The room there is. Streams that stay open for minutes have a room of their own and never crowd out calls; those that
/// anybody may open never crowd out those of callers.
pub(super) struct Load {
    places: usize,
    arriving: FairPlaces<Who>,
    calls: FairPlaces<Who>,
    streams: FairPlaces<Who>,
    public_streams: FairPlaces<Who>,
}

/// A place in it.
pub(super) type Place = FairPlace<Who>;

/// Who asks for room, and how much it may have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim {
    who: Who,
    share: Share,
}

impl Load {
    /// Room for so many calls, and as many streams of either sort.
    pub(super) fn new(most: usize) -> Self {
        let reserve = most / 8;
        Self {
            places: most,
            arriving: FairPlaces::new(most.saturating_mul(ARRIVING), reserve),
            calls: FairPlaces::new(most, reserve),
            streams: FairPlaces::new(most, reserve),
            public_streams: FairPlaces::new(most, 0),
        }
    }

    /// Who asks: the caller, or the address of somebody who is none.
    pub(super) fn claim(&self, caller: Option<&Caller>, peer: &Peer) -> Claim {
        let part = |divisor: usize| (self.places / divisor).max(1);
        let (who, preferred, places) = match caller {
            None => (Who::Address(network(peer.address.ip())), false, part(8)),
            Some(caller) => {
                let preferred = matches!(caller.role, Role::Authenticator | Role::Admin);
                let places = match caller.role {
                    Role::Authenticator => part(2),
                    Role::Admin | Role::Auditor | Role::Endpoint => part(8),
                };
                (Who::Caller(caller.id), preferred, places)
            }
        };
        let share = Share {
            preferred,
            places,
            waiting: places,
        };
        Claim { who, share }
    }

    /// Takes a place for a message that is still to arrive: it holds no place of calls, and the sum of them is bounded.
    pub(super) fn arrive(&self, claim: Claim) -> Result<Place, Status> {
        let share = Share {
            places: claim.share.places.saturating_mul(ARRIVING),
            ..claim.share
        };
        self.arriving.try_enter(claim.who, share).map_err(full)
    }

    /// Takes a place, given back when it is dropped. A check of health needs none. A call whose caller has all of its
    /// share in work waits for a moment; a stream does not, for it would wait for minutes.
    pub(super) async fn enter(&self, method: &Method, claim: Claim) -> Result<Option<Place>, Status> {
        let Claim { who, share } = claim;
        let entered = match (method.kind, who) {
            (Kind::Pulse, _) => return Ok(None),
            (Kind::Call, _) => self.calls.enter(who, share, PATIENCE).await,
            (Kind::Watch | Kind::Dialogue, Who::Caller(_)) => self.streams.try_enter(who, share),
            (Kind::Watch | Kind::Dialogue, Who::Address(_)) => self.public_streams.try_enter(who, share),
        };
        entered.map(Some).map_err(full)
    }
}

fn full(_: Full) -> Status {
    status::exhausted("OVERLOADED", "too many calls are in flight; try again", RETRY)
}

/// What counts as one address: with IPv6 the network of 64 bits that one customer is given at the least.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_or_the_network_of_a_customer() {
        let of = |text: &str| network(text.parse().unwrap()).to_string();
        assert_eq!(of("192.0.2.7"), "192.0.2.7");
        assert_eq!(of("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    }
}
