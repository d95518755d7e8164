//! Templates.

use super::{
    challenge::{purpose, purpose_of},
    field, moment,
};
use crate::{
    domain::{
        template::{Template, TemplateKey, TemplateParts},
        violation::Violations,
    },
    pb::v1 as pb,
    policy::{Sample, Shown},
};

/// The mails that a template is asked for.
pub(in crate::grpc) fn get_template(request: &pb::GetTemplateRequest) -> Result<TemplateKey, Violations> {
    let mut faults = Violations::new();
    let key = key(
        request.purpose,
        &request.event,
        &request.language,
        "",
        &mut faults,
    );
    key.ok_or(faults)
}

/// A template to remove, and which version of it.
pub(in crate::grpc) fn reset_template(
    request: &pb::ResetTemplateRequest,
) -> Result<(TemplateKey, Option<i64>), Violations> {
    let mut faults = Violations::new();
    let key = key(
        request.purpose,
        &request.event,
        &request.language,
        "",
        &mut faults,
    );
    let version = faults.check("etag", version(&request.etag));
    key.zip(version).ok_or(faults)
}

/// A template as it was written. Its parts are checked by the office.
pub(in crate::grpc) fn written_template(
    template: Option<pb::Template>,
) -> Result<(TemplateKey, TemplateParts, Option<i64>), Violations> {
    let mut faults = Violations::new();
    let template = faults
        .check("template", template.ok_or("is required"))
        .unwrap_or_default();
    let key = key(
        template.purpose,
        &template.event,
        &template.language,
        "template.",
        &mut faults,
    );
    let version = faults.check("template.etag", version(&template.etag));
    let parts = TemplateParts {
        subject: template.subject,
        text: template.text,
        html: template.html,
    };
    match (key, version) {
        (Some(key), Some(version)) => Ok((key, parts, version)),
        _ => Err(faults),
    }
}

/// A template that an administrator wrote.
pub(in crate::grpc) fn template(template: Template) -> pb::Template {
    pb::Template {
        updated_at: Some(moment(template.updated_at)),
        etag: format!("v{}", template.version),
        ..whole(template.key, template.parts, false)
    }
}

/// The template that applies.
pub(in crate::grpc) fn shown(shown: Shown) -> pb::Template {
    match shown {
        Shown::Own(own) => template(*own),
        Shown::BuiltIn(key, parts) => whole(key, parts, true),
    }
}

/// The list of templates.
pub(in crate::grpc) fn template_keys(own: Vec<TemplateKey>, built_in: Vec<TemplateKey>) -> Vec<pb::Template> {
    let own = own.into_iter().map(|key| (key, false));
    own.chain(built_in.into_iter().map(|key| (key, true)))
        .map(|(key, built_in)| whole(key, TemplateParts::default(), built_in))
        .collect()
}

/// What a template makes of sample values.
pub(in crate::grpc) fn sample(sample: Sample) -> pb::PreviewTemplateResponse {
    pb::PreviewTemplateResponse {
        subject: sample.subject,
        text: sample.text,
        html: sample.html,
    }
}

fn whole(key: TemplateKey, parts: TemplateParts, built_in: bool) -> pb::Template {
    pb::Template {
        purpose: purpose_of(key.purpose).into(),
        event: key.event,
        language: key.language,
        subject: parts.subject,
        text: parts.text,
        html: parts.html,
        built_in,
        updated_at: None,
        etag: String::new(),
    }
}

fn key(
    number: i32,
    event: &str,
    language: &str,
    prefix: &str,
    faults: &mut Violations,
) -> Option<TemplateKey> {
    let known = if number == i32::from(pb::Purpose::Unspecified) {
        Err("is required")
    } else {
        purpose(number)
    };
    let purpose = faults.check(&format!("{prefix}purpose"), known);
    faults.check(&format!("{prefix}event"), field::event(event));
    faults.check(&format!("{prefix}language"), field::language(language));
    purpose
        .filter(|_| faults.is_empty())
        .map(|purpose| TemplateKey::new(purpose, event, language))
}

fn version(etag: &str) -> Result<Option<i64>, &'static str> {
    if etag.is_empty() {
        return Ok(None);
    }
    etag.strip_prefix('v')
        .and_then(|version| version.parse().ok())
        .map(Some)
        .ok_or("is not an etag of a template")
}
