//! Where each field of the products that people come from went. README.md shows this table; the tests beside it set each
//! field and look for its effect.

/// A product that people come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Product {
    OneAccess,
    AccountMate,
    AdvancedAuthentication,
    Senhasegura,
    SenhaseguraInbox,
    Orchestrator,
}

impl Product {
    pub(crate) const ALL: [Self; 6] = [
        Self::OneAccess,
        Self::AccountMate,
        Self::AdvancedAuthentication,
        Self::Senhasegura,
        Self::SenhaseguraInbox,
        Self::Orchestrator,
    ];

    /// Its name, and which part of its manual.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::OneAccess => "OneAccess, *Email Gateway*",
            Self::AccountMate => "AccountMate, *Set Up System E-mail Account*",
            Self::AdvancedAuthentication => "Advanced Authentication, *Mail Sender*",
            Self::Senhasegura => "senhasegura, *Configuring an E-mail account*",
            Self::SenhaseguraInbox => "senhasegura, *Setting up a POP3/IMAP account*",
            Self::Orchestrator => "Orchestrator, *Configuring the SMTP Server*",
        }
    }
}

/// One field: whose, its name there, its place here.
pub(crate) struct Field(
    pub(crate) Product,
    pub(crate) &'static str,
    pub(crate) &'static str,
);

pub(crate) const FIELDS: &[Field] = &[
    Field(
        Product::OneAccess,
        "enable the email gateway",
        "`SetSending.enabled`, for each account `Account.enabled`",
    ),
    Field(Product::OneAccess, "SMTP HOST", "`Account.host`"),
    Field(
        Product::OneAccess,
        "SMTP Port",
        "`Account.port`; 465 where `security` is implicit TLS",
    ),
    Field(Product::OneAccess, "Email Address", "`Account.sender`"),
    Field(Product::OneAccess, "Sender Name", "`Account.display_name`"),
    Field(Product::OneAccess, "Authorization Code", "`Account.secret`"),
    Field(
        Product::OneAccess,
        "Security type",
        "`Account.security`: their TLS is `STARTTLS`, their SSL `IMPLICIT_TLS`, none is `NONE` with `acknowledge_risks`",
    ),
    Field(Product::OneAccess, "Template Settings", "`UpdateTemplate`"),
    Field(
        Product::OneAccess,
        "random passwords during password resetting",
        "`StartChallenge.purpose` `RECOVERY`; the verdict says `must_change`",
    ),
    Field(
        Product::AccountMate,
        "SMTP Mail",
        "`Account.preset`: `exchange`, `gmail`, `office365`, `yahoo`, `other`",
    ),
    Field(Product::AccountMate, "Display Name", "`Account.display_name`"),
    Field(
        Product::AccountMate,
        "Email",
        "`Account.sender`; its domain must be the preset's where the provider demands it",
    ),
    Field(Product::AccountMate, "Password", "`Account.secret`"),
    Field(
        Product::AccountMate,
        "SMTP Server Name",
        "`Account.host`; only with the preset `other`",
    ),
    Field(
        Product::AccountMate,
        "SMTP Server Port",
        "`Account.port`; only with the preset `other`",
    ),
    Field(
        Product::AccountMate,
        "Test",
        "`TestConnection`, with the same two sentences",
    ),
    Field(
        Product::AccountMate,
        "Save",
        "`CreateAccount`, `UpdateAccount`: `enabled` needs a passed test",
    ),
    Field(Product::AdvancedAuthentication, "Host", "`Account.host`"),
    Field(Product::AdvancedAuthentication, "Port", "`Account.port`"),
    Field(
        Product::AdvancedAuthentication,
        "Authentication Required",
        "`Account.authentication`",
    ),
    Field(Product::AdvancedAuthentication, "Username", "`Account.username`"),
    Field(Product::AdvancedAuthentication, "Password", "`Account.secret`"),
    Field(
        Product::AdvancedAuthentication,
        "Sender email",
        "`Account.sender`",
    ),
    Field(
        Product::AdvancedAuthentication,
        "Recipient Mask",
        "`OtpPolicy.mask`; it has a default and cannot be switched off",
    ),
    Field(
        Product::AdvancedAuthentication,
        "TLS and SSL",
        "`Account.security`: `STARTTLS` and `IMPLICIT_TLS`",
    ),
    Field(
        Product::AdvancedAuthentication,
        "Test: E-mail",
        "`SendTestMessage.recipient`",
    ),
    Field(
        Product::AdvancedAuthentication,
        "Test: Message",
        "`SendTestMessage.text`",
    ),
    Field(
        Product::AdvancedAuthentication,
        "Send test message!",
        "`SendTestMessage`, through the outbox as any mail",
    ),
    Field(
        Product::AdvancedAuthentication,
        "async log",
        "`MailOutbox.GetEntry`: every attempt, its stage and the server's reply",
    ),
    Field(Product::Senhasegura, "Account Name", "`Account.name`"),
    Field(Product::Senhasegura, "Enabled", "`Account.enabled`"),
    Field(Product::Senhasegura, "Sender email", "`Account.sender`"),
    Field(Product::Senhasegura, "Reply email", "`Account.reply_to`"),
    Field(
        Product::Senhasegura,
        "Reply email (return path)",
        "`Account.return_path`",
    ),
    Field(
        Product::Senhasegura,
        "Confirmation email",
        "`Account.confirmation_address`",
    ),
    Field(Product::Senhasegura, "Default Account", "`SetDefaultAccount`"),
    Field(
        Product::Senhasegura,
        "Send read receipt",
        "`Account.read_receipt`",
    ),
    Field(
        Product::Senhasegura,
        "Force settings use",
        "`Account.force_settings`: `StartChallenge.reply_to`, `return_path` and `confirmation_address` then go unheard",
    ),
    Field(
        Product::Senhasegura,
        "Enable footnote",
        "`Account.footnote_enabled`, its text in `Account.footnote`",
    ),
    Field(Product::Senhasegura, "SMTP Host", "`Account.host`"),
    Field(Product::Senhasegura, "Port", "`Account.port`"),
    Field(
        Product::Senhasegura,
        "Use a safe connection",
        "`Account.security`: anything but `NONE`",
    ),
    Field(
        Product::Senhasegura,
        "Secure connection type",
        "`Account.security`: `STARTTLS` for TLS, `IMPLICIT_TLS` for SSL",
    ),
    Field(
        Product::Senhasegura,
        "Use authentication",
        "`Account.authentication`",
    ),
    Field(
        Product::Senhasegura,
        "Ignore certification error",
        "`Account.ignore_certificate_errors`, with `acknowledge_risks`",
    ),
    Field(
        Product::Senhasegura,
        "Credential for authentication",
        "`Account.username` and `Account.secret`: a password, a file or a variable of the environment",
    ),
    Field(
        Product::Senhasegura,
        "Send test mail: recipient, subject, body",
        "`SendTestMessage.recipient`, `subject`, `text`",
    ),
    Field(
        Product::Senhasegura,
        "Outbox",
        "`MailOutbox.ListEntries`, `ExportEntries`",
    ),
    Field(Product::SenhaseguraInbox, "Account name", "`Inbox.name`"),
    Field(
        Product::SenhaseguraInbox,
        "Keep copy on server",
        "`Inbox.keep_copy`",
    ),
    Field(
        Product::SenhaseguraInbox,
        "Automatic check",
        "`Inbox.automatic_check`, every `Inbox.interval`",
    ),
    Field(Product::SenhaseguraInbox, "Enabled", "`Inbox.enabled`"),
    Field(Product::SenhaseguraInbox, "Address", "`Inbox.host`"),
    Field(
        Product::SenhaseguraInbox,
        "Protocol",
        "`Inbox.protocol`: `IMAP`, `POP3`",
    ),
    Field(
        Product::SenhaseguraInbox,
        "Skip certificate",
        "`Inbox.ignore_certificate_errors`, with `acknowledge_risks`",
    ),
    Field(
        Product::SenhaseguraInbox,
        "Credential for authentication",
        "`Inbox.username` and `Inbox.secret`",
    ),
    Field(Product::SenhaseguraInbox, "Port", "`Inbox.port`"),
    Field(
        Product::SenhaseguraInbox,
        "Use safe connection",
        "`Inbox.security`: anything but `NONE`",
    ),
    Field(
        Product::SenhaseguraInbox,
        "Secure connection type",
        "`Inbox.security`: `STARTTLS` for TLS, `IMPLICIT_TLS` for SSL",
    ),
    Field(
        Product::Orchestrator,
        "Enable email alerts",
        "`SetSending.enabled`",
    ),
    Field(
        Product::Orchestrator,
        "Use default credentials",
        "`Account.default_credentials`",
    ),
    Field(
        Product::Orchestrator,
        "Enable SSL",
        "`Account.security`: `IMPLICIT_TLS` on port 465, `STARTTLS` on port 587",
    ),
    Field(Product::Orchestrator, "SMTP Host", "`Account.host`"),
    Field(Product::Orchestrator, "SMTP Port", "`Account.port`"),
    Field(Product::Orchestrator, "SMTP Username", "`Account.username`"),
    Field(Product::Orchestrator, "SMTP Password", "`Account.secret`"),
    Field(Product::Orchestrator, "Default From Address", "`Account.sender`"),
    Field(
        Product::Orchestrator,
        "Default From Display Name",
        "`Account.display_name`",
    ),
];

/// The table as README.md shows it.
pub(crate) fn markdown() -> String {
    let mut table = String::new();
    for product in Product::ALL {
        table += &format!("| {} | here |\n|---|---|\n", product.title());
        for Field(_, theirs, ours) in FIELDS.iter().filter(|field| field.0 == product) {
            table += &format!("| {theirs} | {ours} |\n");
        }
        table += "\n";
    }
    table
}

/// What a test has set and seen at work.
pub(crate) struct Seen {
    product: Product,
    fields: Vec<&'static str>,
}

impl Seen {
    pub(crate) fn of(product: Product) -> Self {
        Self {
            product,
            fields: Vec::new(),
        }
    }

    /// The field was set, and this is its effect.
    #[track_caller]
    pub(crate) fn that(&mut self, field: &'static str, holds: bool) {
        assert!(holds, "{:?}: {field} has no effect", self.product);
        self.fields.push(field);
    }

    /// Every field of the product was.
    #[track_caller]
    pub(crate) fn all(mut self) {
        let mut wanted: Vec<_> = FIELDS
            .iter()
            .filter(|field| field.0 == self.product)
            .map(|field| field.1)
            .collect();
        wanted.sort_unstable();
        self.fields.sort_unstable();
        self.fields.dedup();
        assert_eq!(self.fields, wanted);
    }
}
