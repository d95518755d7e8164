//! Every request, decoded and converted from any bytes: for fuzzing alone.

use prost::Message;

use super::convert;
use crate::{
    domain::{
        address::LocalPart,
        id::{ChallengeId, EntryId},
    },
    pb::v1 as pb,
};

/// What decodes and converts one request.
type Converter<'a> = &'a dyn Fn(&[u8]);

/// Decodes the bytes after the first as the request that the first names, and converts it. It may be refused; it may not
/// panic.
pub fn request(bytes: &[u8]) {
    let Some((which, message)) = bytes.split_first() else {
        return;
    };
    let local_part = match which & 128 {
        0 => LocalPart::Ascii,
        _ => LocalPart::Utf8,
    };
    let converters: &[Converter<'_>] = &[
        &|message| with(message, |request| convert::start(request, local_part)),
        &|message| {
            with(message, |request: pb::ResendCodeRequest| {
                convert::resend(&request).map(drop)
            });
        },
        &|message| with(message, convert::verify),
        &|message| {
            with(message, |request: pb::GetChallengeRequest| {
                convert::id::<ChallengeId>("challenge_id", &request.challenge_id)
            });
        },
        &|message| with(message, |request| convert::create_account(request, local_part)),
        &|message| with(message, convert::update_account),
        &|message| {
            with(message, |request: pb::DeleteAccountRequest| {
                convert::delete_account(&request).map(drop)
            });
        },
        &|message| {
            with(message, |request: pb::GetAccountRequest| {
                convert::named_account(&request.account).map(drop)
            });
        },
        &|message| with(message, |request| convert::test_connection(request, local_part)),
        &|message| with(message, |request| convert::test_message(request, local_part)),
        &|message| with(message, convert::set_dkim_key),
        &|message| {
            with(message, |request: pb::DeleteDkimKeyRequest| {
                convert::delete_dkim_key(&request).map(drop)
            });
        },
        &|message| with(message, convert::list_entries),
        &|message| with(message, convert::export_entries),
        &|message| with(message, convert::watch_entries),
        &|message| {
            with(message, |request: pb::GetEntryRequest| {
                convert::id::<EntryId>("entry_id", &request.entry_id)
            });
        },
        &|message| {
            with(message, |request: pb::ListAuditEventsRequest| {
                convert::list_audit_events(&request).map(drop)
            });
        },
        &|message| with(message, convert::create_inbox),
        &|message| with(message, convert::update_inbox),
        &|message| {
            with(message, |request: pb::DeleteInboxRequest| {
                convert::delete_inbox(&request).map(drop)
            });
        },
        &|message| {
            with(message, |request: pb::GetInboxRequest| {
                convert::named_inbox(&request.inbox).map(drop)
            });
        },
        &|message| with(message, convert::test_inbox),
        &|message| with(message, convert::update_policy),
        &|message| {
            with(message, |request: pb::DeleteEventRequest| {
                convert::delete_event(&request).map(drop)
            });
        },
        &|message| with(message, convert::reset_policy),
        &|message| with(message, convert::set_sending),
        &|message| with(message, convert::look_up_user),
        &|message| with(message, convert::flush_users),
        &|message| {
            with(message, |request: pb::GetTemplateRequest| {
                convert::get_template(&request).map(drop)
            });
        },
        &|message| {
            with(message, |request: pb::ResetTemplateRequest| {
                convert::reset_template(&request).map(drop)
            });
        },
        &|message| {
            with(message, |request: pb::UpdateTemplateRequest| {
                convert::written_template(request.template)
            });
        },
    ];
    let which = usize::from(which & 127) % converters.len();
    if let Some(convert) = converters.get(which) {
        convert(message);
    }
}

fn with<M: Message + Default, T, F>(bytes: &[u8], convert: impl FnOnce(M) -> Result<T, F>) {
    if let Ok(message) = M::decode(bytes) {
        let _ = convert(message);
    }
}
