//! A real OpenLDAP of the tests' own, with TLS and as many users as a test wants.

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Command, Stdio},
    sync::OnceLock,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    certs::{Authority, Kind},
    installed,
    private::{Private, free_port},
};

/// Where everybody is.
pub const BASE: &str = "dc=example,dc=com";
/// Who may search.
pub const BIND_DN: &str = "cn=mailfactor,dc=example,dc=com";
/// Who finds one entry at the most.
pub const LIMITED_DN: &str = "cn=limited,dc=example,dc=com";
/// The group that ann is in.
pub const VPN: &str = "cn=vpn,dc=example,dc=com";
/// With this password.
pub const BIND_PASSWORD: &str = "ldap-canary-7";

/// A running slapd; it stops when it is dropped.
pub struct Slapd {
    /// Where it speaks LDAP, with StartTLS.
    pub ldap: SocketAddr,
    /// Where it speaks LDAP over TLS.
    pub ldaps: SocketAddr,
    private: Private,
}

/// An entry: its name below the base, and its attributes.
#[derive(Clone, Debug)]
pub struct LdapEntry {
    name: String,
    attributes: Vec<(String, String)>,
}

impl LdapEntry {
    /// A person with this identifier and these addresses, whose password is the identifier and `-pass`.
    pub fn person(unit: &str, uid: &str, mails: &[&str]) -> Self {
        let mut entry = Self {
            name: format!("uid={},ou={unit}", escaped(uid)),
            attributes: Vec::new(),
        }
        .with("objectClass", "inetOrgPerson")
        .with("uid", uid)
        .with("cn", uid)
        .with("sn", uid)
        .with("userPassword", &format!("{uid}-pass"));
        for mail in mails {
            entry = entry.with("mail", mail);
        }
        entry
    }

    /// A part of the tree that another server has.
    pub fn referral(unit: &str, address: &str) -> Self {
        let entry = Self {
            name: format!("ou={unit}"),
            attributes: Vec::new(),
        };
        entry
            .with("objectClass", "referral")
            .with("objectClass", "extensibleObject")
            .with("ref", address)
    }

    /// With one more value of an attribute.
    pub fn with(mut self, attribute: &str, value: &str) -> Self {
        self.attributes.push((attribute.to_owned(), value.to_owned()));
        self
    }

    /// As LDIF (RFC 2849), every value in base 64: it may be anything.
    fn write(&self, to: &mut String) {
        let coded = |text: &str| STANDARD.encode(text);
        to.push_str(&format!("dn:: {}\n", coded(&format!("{},{BASE}", self.name))));
        // slapadd wants the values of one attribute together.
        let mut attributes = self.attributes.clone();
        attributes.sort_by(|a, b| a.0.cmp(&b.0));
        for (attribute, value) in &attributes {
            to.push_str(&format!("{attribute}:: {}\n", coded(value)));
        }
        to.push('\n');
    }
}

impl Slapd {
    /// Starts one with these entries, and a certificate of this kind; or says that the test skips.
    pub fn start(authority: &Authority, kind: Kind, entries: &[LdapEntry]) -> Option<Self> {
        installed::require(installed::program("slapd"), "OpenLDAP")?;
        // Somebody may take a port between choosing and binding it.
        for _ in 0..3 {
            if let Some(started) = Self::try_start(authority, kind, entries) {
                return Some(started);
            }
        }
        panic!("slapd did not start");
    }

    /// One with 10,000 people for every test of this process, and the authority of its certificate.
    pub fn shared() -> Option<&'static (Self, Authority)> {
        static SHARED: OnceLock<Option<(Slapd, Authority)>> = OnceLock::new();
        let start = || {
            let authority = Authority::new();
            Some((Self::start(&authority, Kind::Good, &crowd())?, authority))
        };
        SHARED.get_or_init(start).as_ref()
    }

    fn try_start(authority: &Authority, kind: Kind, entries: &[LdapEntry]) -> Option<Self> {
        let private = Private::new("slapd");
        let (ldap, ldaps) = (free_port(), free_port());
        let directory = &private.directory;
        let issued = authority.issue(kind);
        let file = |name: &str, text: &str| fs::write(directory.join(name), text).unwrap();
        file("chain.pem", &issued.certificate);
        file("key.pem", &issued.key);
        file("slapd.conf", &configuration(directory));
        let mut ldif = String::new();
        for entry in [
            format!(
                "dn: {BASE}\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: Example\n\n"
            ),
            format!(
                "dn: {BIND_DN}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\ncn: mailfactor\nuserPassword: {BIND_PASSWORD}\n\n"
            ),
        ] {
            ldif.push_str(&entry);
        }
        ldif.push_str(&format!("dn: {LIMITED_DN}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\ncn: limited\nuserPassword: {BIND_PASSWORD}\n\n"));
        for unit in ["people", "others"] {
            ldif.push_str(&format!(
                "dn: ou={unit},{BASE}\nobjectClass: organizationalUnit\nou: {unit}\n\n"
            ));
        }
        for entry in entries {
            entry.write(&mut ldif);
        }
        file("users.ldif", &ldif);
        fs::create_dir(directory.join("db")).unwrap();
        let program = |name: &str| Command::new(installed::program(name).unwrap());
        let mut add = program("slapadd");
        add.args(["-q", "-f"]).arg(directory.join("slapd.conf"));
        let users = File::open(directory.join("users.ldif")).unwrap();
        let added = add.stdin(users).stdout(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&added.stderr);
        assert!(added.status.success(), "slapadd: {said}");
        let mut command = program("slapd");
        command
            .args([
                "-d",
                "stats",
                "-h",
                &format!("ldap://{ldap} ldaps://{ldaps}"),
                "-f",
            ])
            .arg(directory.join("slapd.conf"));
        let ready = || [ldap, ldaps].iter().all(|port| TcpStream::connect(port).is_ok());
        private
            .run(command, ready)
            .then_some(Self { ldap, ldaps, private })
    }

    /// Ends it as a power cut would.
    pub fn kill(&self) {
        self.private.kill();
    }

    /// Freezes it, or lets it go on.
    pub fn freeze(&self, frozen: bool) {
        self.private.freeze(frozen);
    }

    /// What it logged: a line for each operation.
    pub fn log(&self) -> String {
        self.private.log()
    }

    /// The searches for this identifier so far.
    pub fn searches(&self, filter: &str) -> usize {
        self.log()
            .lines()
            .filter(|line| line.contains(" SRCH base=") && line.contains(filter))
            .count()
    }
}

/// 10,000 people, and some who are odd.
pub fn crowd() -> Vec<LdapEntry> {
    let mut entries: Vec<LdapEntry> = (0..10_000)
        .map(|number| {
            let uid = format!("u{number}");
            LdapEntry::person("people", &uid, &[&format!("{uid}@example.com")])
        })
        .collect();
    for (number, odd) in ODD.iter().enumerate() {
        entries.push(LdapEntry::person(
            "people",
            odd,
            &[&format!("odd{number}@example.com")],
        ));
    }
    entries.extend([
        LdapEntry::person("people", "ann", &["ann@example.com"])
            .with("displayName", "Ann Example")
            .with("preferredLanguage", "de-CH, de;q=0.8")
            // The server has no `memberOf` without an overlay: this attribute holds names of entries too.
            .with("seeAlso", VPN),
        LdapEntry::person("people", "silent", &[]),
        LdapEntry::person(
            "people",
            "many",
            &["no address", "many@example.com", "many2@example.com"],
        ),
        LdapEntry::person("people", "twin", &["twin1@example.com"]),
        LdapEntry::person("others", "twin", &["twin2@example.com"]),
        LdapEntry::referral("away", "ldap://127.0.0.1:1/ou=away,dc=example,dc=com"),
    ]);
    entries
}

/// Names that people may have, and that mean something to LDAP.
pub const ODD: [&str; 8] = [
    "o'brien",
    "a,b+c=d",
    "star*",
    "(paren)",
    "back\\slash",
    "ürsula",
    "two words",
    "#hash;<angle>\"quote\"",
];

/// A value as it stands in a name (RFC 4514, 2.4).
fn escaped(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
            byte => format!("\\{byte:02x}"),
        })
        .collect()
}

/// What Active Directory and eDirectory call things, as far as the presets ask for it. The object identifiers are those that
/// OpenLDAP leaves for experiments.
const PRODUCTS: &str = "
attributetype ( 1.3.6.1.4.1.4203.666.9.1 NAME 'sAMAccountName' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
attributetype ( 1.3.6.1.4.1.4203.666.9.2 NAME 'userPrincipalName' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
attributetype ( 1.3.6.1.4.1.4203.666.9.3 NAME 'userAccountControl' EQUALITY integerMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 )
attributetype ( 1.3.6.1.4.1.4203.666.9.4 NAME 'objectCategory' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
attributetype ( 1.3.6.1.4.1.4203.666.9.5 NAME 'proxyAddresses' EQUALITY caseExactMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
attributetype ( 1.3.6.1.4.1.4203.666.9.6 NAME 'objectGUID' EQUALITY octetStringMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.40 )
attributetype ( 1.3.6.1.4.1.4203.666.9.7 NAME 'backupMailbox' EQUALITY caseExactMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
attributetype ( 1.3.6.1.4.1.4203.666.9.8 NAME 'loginDisabled' EQUALITY booleanMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.7 )
attributetype ( 1.3.6.1.4.1.4203.666.9.9 NAME 'fullName' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
attributetype ( 1.3.6.1.4.1.4203.666.9.10 NAME 'GUID' EQUALITY octetStringMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.40 )
attributetype ( 1.3.6.1.4.1.4203.666.9.11 NAME 'groupMembership' EQUALITY distinguishedNameMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.12 )
objectclass ( 1.3.6.1.4.1.4203.666.9.20 NAME 'user' SUP top AUXILIARY MAY ( sAMAccountName $ userPrincipalName $ userAccountControl $ objectCategory $ proxyAddresses $ objectGUID $ backupMailbox $ loginDisabled $ fullName $ GUID $ groupMembership ) )
";

fn configuration(directory: &Path) -> String {
    format!(
        "include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
{PRODUCTS}
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {root}/slapd.pid
argsfile {root}/slapd.args
TLSCertificateFile {root}/chain.pem
TLSCertificateKeyFile {root}/key.pem
threads 4
loglevel stats
database mdb
suffix {BASE}
directory {root}/db
maxsize 268435456
dbnosync
index objectClass,uid,member eq
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact=\"{BIND_DN}\" read by dn.exact=\"{LIMITED_DN}\" read by * none
limits dn.exact=\"{LIMITED_DN}\" size=1
",
        root = directory.display(),
    )
}
