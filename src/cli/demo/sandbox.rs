//! The demo's directory: configuration, users, database, keys, mails. Gone when the demo ends.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use crate::domain::{
    entropy::{Entropy, random_bytes},
    id::EntryId,
};

/// A directory that is removed with everything in it.
pub(super) struct Sandbox(PathBuf);

const USERS: &str = r#"# Who gets codes, and where. A real one comes from a directory or a database.
[[user]]
name = "ann"
email = "ann.miller@example.com"
display_name = "Ann Miller"

[[user]]
name = "bo"
email = "bo@example.org"
display_name = "Bo"
locale = "de"

[[user]]
name = "cy"
display_name = "Cy, who has no address"
"#;

impl Sandbox {
    /// A fresh one, for its owner alone.
    pub(super) fn new(entropy: &dyn Entropy) -> io::Result<Self> {
        let name = EntryId::from_bytes(random_bytes(entropy)).to_string();
        let path = std::env::temp_dir().join(format!("mailfactor-demo-{name}"));
        DirBuilder::new().mode(0o700).create(&path)?;
        let sandbox = Self(path);
        fs::write(sandbox.path("users.toml"), USERS)?;
        fs::create_dir(sandbox.path("mail"))?;
        Ok(sandbox)
    }

    /// Writes the configuration; answers with its path.
    pub(super) fn configure(&self, reflection: bool) -> io::Result<PathBuf> {
        let path = self.path("mailfactor.toml");
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nreflection = {reflection}\n\n\
             [metrics]\nlisten = \"127.0.0.1:0\"\n\n\
             [store]\nurl = {:?}\n\n\
             [delivery]\nhello_name = \"demo.mailfactor.example\"\nmessage_id_domain = \"mailfactor.example\"\n\n\
             [enumeration]\ndecoy_domains = [\"example.com\", \"example.org\"]\n\n\
             [[repository]]\nname = \"staff\"\nkind = \"file\"\npath = {:?}\n",
            format!("sqlite:{}", self.path("mailfactor.db").display()),
            self.path("users.toml").display().to_string(),
        );
        fs::write(&path, text)?;
        Ok(path)
    }

    /// A path in it.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The directory itself.
    pub(super) fn root(&self) -> &Path {
        &self.0
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
