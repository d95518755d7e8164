//! The post room: the only way out by mail.
//!
//! `worker` takes mails from the outbox, one `step` each: `render` makes the message, [`Transports`] hands it to the
//! account's mail server, the outcome is settled. Under a transport lie the `pool` of warm connections, the `breaker`
//! that spares a failing server, the `turns` at one that comes back, a `session` (one SMTP dialogue, each stage known), and the `dial`er, which alone opens
//! connections. Where an account logs in by OAuth 2.0, `oauth` gets its access tokens over the same dialer, and `bearer`
//! shows them to the server.
//!
//! `lettre` builds messages; SMTP is spoken by ourselves. A `conversation` says commands, in groups where the server takes
//! them so, and makes `answer`s of what comes back; `offers` are what the server said to EHLO, an `envelope` what it is told
//! before a message. The `guard` round the stream sees that no server hangs us, the parser that none floods us, and the
//! conversation that none is believed out of turn. [`Answers`] and [`Offers`] are pure, and public for who feeds them anything.
//!
//! What comes back is read from the letter boxes, each an `inbox`. A connection test and a test message take the very same way.

mod answer;
mod bearer;
mod body;
mod breaker;
mod built_in;
mod compose;
mod conversation;
mod dial;
mod dkim;
mod egress;
mod encoded_word;
mod envelope;
mod exchange;
mod footnote;
mod guard;
mod house;
mod identity;
mod inbox;
mod insist;
mod journal;
mod library;
mod limit_turns;
mod login;
mod oauth;
mod offers;
mod outcome;
mod own;
mod pass;
mod permission;
mod places;
mod pool;
mod render;
mod reply;
mod scan;
mod secret;
mod session;
mod settings;
mod step;
mod tls;
mod transport;
mod turns;
mod waiting;
mod worker;

pub use answer::{Answer, Answers, BadAnswer};
pub use breaker::{Admission, Breaker};
pub use dkim::{Signer, SigningKey, SigningKeyError, read_signing_key};
pub use egress::{IpRange, IpRangeError};
pub use identity::{IdentityError, check_identity};
pub use inbox::{CheckDesk, CheckReport, Checked, Collector, Matched, Rounds};
pub use library::{Layer, Library};
pub use oauth::{check_private_key, refresh_token_place};
pub use offers::Offers;
pub use outcome::{Accepted, Clearance, Unsent, Withheld};
pub use own::{Own, Sample, check_template};
pub use pass::{Obstacle, Pass, Standing};
pub use render::{Cover, Rendered, Renderer};
pub use settings::{MailError, MailSettings};
pub use transport::Transports;
pub use worker::{Settled, Worker, WorkerSettings};
