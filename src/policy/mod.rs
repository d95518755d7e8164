//! The office: the use cases of `MailSenderPolicy` and `MailOutbox`.

