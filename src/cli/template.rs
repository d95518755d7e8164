//! `template`: what mails say.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{Failure, Outcome, challenge, client::ClientArguments, out};
use crate::pb::v1 as pb;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Lists templates: those that were written here, then the built-in ones.
    List(List),
    /// Shows the template that mails of a purpose, event and language are made of; writes its files, if asked.
    #[command(
        after_help = "Example:\n  mailfactor template show login --language de --text login.txt --html login.html"
    )]
    Show(Show),
    /// Writes a template in place of the one there was. What is wrong with it is told with line and column.
    #[command(
        after_help = "Example:\n  mailfactor template set login --event vpn --language de \\\n      \
                      --subject \"Ihr Code\" --text login.txt --html login.html"
    )]
    Set(Set),
    /// Removes a template that was written here; the next in line stands in its place.
    Reset(One),
    /// Shows what a template makes of sample values: the files given, or what applies. Nothing is saved.
    Preview(Preview),
}

/// Which mails.
#[derive(Debug, Args)]
struct Which {
    /// What the codes are for.
    #[arg(value_parser = challenge::purpose, value_name = "login|address_confirmation|recovery")]
    purpose: pb::Purpose,
    /// The event. Without one: every event that has no template of its own.
    #[arg(long, default_value = "")]
    event: String,
    /// The language, such as `de`. Without one: every language that has no template of its own.
    #[arg(long, default_value = "")]
    language: String,
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    client: ClientArguments,
}

#[derive(Debug, Args)]
pub(super) struct One {
    #[command(flatten)]
    which: Which,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    client: ClientArguments,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    #[command(flatten)]
    which: Which,
    /// Writes the text to this file; there must be none.
    #[arg(long, value_name = "FILE")]
    text: Option<PathBuf>,
    /// Writes the HTML to this file; there must be none.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    client: ClientArguments,
}

#[derive(Debug, Args)]
pub(super) struct Set {
    #[command(flatten)]
    which: Which,
    /// The subject.
    #[arg(long)]
    subject: String,
    /// The file with the text.
    #[arg(long, value_name = "FILE")]
    text: PathBuf,
    /// The file with the HTML. Without one, mails have a text alone.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Refuses to overwrite another version than this, as `show --json` names it.
    #[arg(long, default_value = "")]
    etag: String,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    client: ClientArguments,
}

#[derive(Debug, Args)]
pub(super) struct Preview {
    #[command(flatten)]
    which: Which,
    /// The subject.
    #[arg(long, requires = "text")]
    subject: Option<String>,
    /// The file with the text.
    #[arg(long, value_name = "FILE", requires = "subject")]
    text: Option<PathBuf>,
    /// The file with the HTML.
    #[arg(long, value_name = "FILE", requires = "text")]
    html: Option<PathBuf>,
    /// Writes the HTML that was made to this file, to be looked at in a browser; there must be none.
    #[arg(long, value_name = "FILE")]
    html_out: Option<PathBuf>,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    client: ClientArguments,
}

impl Command {
    pub(super) async fn run(self) -> Outcome {
        match self {
            Self::List(list) => list.run().await,
            Self::Show(show) => show.run().await,
            Self::Set(set) => set.run().await,
            Self::Preview(preview) => preview.run().await,
            Self::Reset(one) => {
                let mut client = one.client.connect().await?;
                let request = pb::ResetTemplateRequest {
                    purpose: one.which.purpose.into(),
                    event: one.which.event,
                    language: one.which.language,
                    etag: String::new(),
                };
                let answer = client.policy.reset_template(request).await?.into_inner();
                print(&answer.template.unwrap_or_default(), one.json);
                Ok(())
            }
        }
    }
}

impl List {
    async fn run(self) -> Outcome {
        let mut client = self.client.connect().await?;
        let answer = client.policy.list_templates(pb::ListTemplatesRequest {}).await?;
        let templates = answer.into_inner().templates;
        if self.json {
            out::json(&Value::Array(templates.iter().map(value).collect()));
            return Ok(());
        }
        let rows: Vec<Vec<String>> = templates.iter().map(row).collect();
        out::table(&["purpose", "event", "language", "origin"], &rows);
        Ok(())
    }
}

impl Show {
    async fn run(self) -> Outcome {
        let mut client = self.client.connect().await?;
        let request = pb::GetTemplateRequest {
            purpose: self.which.purpose.into(),
            event: self.which.event,
            language: self.which.language,
        };
        let answer = client.policy.get_template(request).await?.into_inner();
        let template = answer.template.unwrap_or_default();
        if let Some(path) = &self.text {
            write(path, &template.text)?;
        }
        if let Some(path) = &self.html {
            write(path, &template.html)?;
        }
        print(&template, self.json);
        Ok(())
    }
}

impl Set {
    async fn run(self) -> Outcome {
        let template = pb::Template {
            purpose: self.which.purpose.into(),
            event: self.which.event,
            language: self.which.language,
            subject: self.subject,
            text: read(&self.text)?,
            html: self.html.as_deref().map(read).transpose()?.unwrap_or_default(),
            etag: self.etag,
            ..pb::Template::default()
        };
        let mut client = self.client.connect().await?;
        let request = pb::UpdateTemplateRequest {
            template: Some(template),
        };
        let answer = client.policy.update_template(request).await?.into_inner();
        print(&answer.template.unwrap_or_default(), self.json);
        Ok(())
    }
}

impl Preview {
    async fn run(self) -> Outcome {
        let template = pb::Template {
            purpose: self.which.purpose.into(),
            event: self.which.event,
            language: self.which.language,
            subject: self.subject.unwrap_or_default(),
            text: self.text.as_deref().map(read).transpose()?.unwrap_or_default(),
            html: self.html.as_deref().map(read).transpose()?.unwrap_or_default(),
            ..pb::Template::default()
        };
        let mut client = self.client.connect().await?;
        let request = pb::PreviewTemplateRequest {
            template: Some(template),
        };
        let sample = client.policy.preview_template(request).await?.into_inner();
        if let Some(path) = &self.html_out {
            write(path, &sample.html)?;
        }
        if self.json {
            out::json(&json!({"subject": sample.subject, "text": sample.text, "html": sample.html}));
        } else {
            out::say(format_args!("Subject: {}\n\n{}", sample.subject, sample.text));
        }
        Ok(())
    }
}

fn row(template: &pb::Template) -> Vec<String> {
    let or_every = |text: &str| {
        if text.is_empty() {
            "(every)".to_owned()
        } else {
            text.to_owned()
        }
    };
    let origin = if template.built_in { "built-in" } else { "own" };
    vec![
        name(template),
        or_every(&template.event),
        or_every(&template.language),
        origin.to_owned(),
    ]
}

fn name(template: &pb::Template) -> String {
    let name = template.purpose().as_str_name();
    name.trim_start_matches("PURPOSE_").to_lowercase()
}

fn print(template: &pb::Template, as_json: bool) {
    if as_json {
        return out::json(&value(template));
    }
    let [purpose, event, language, origin] = <[String; 4]>::try_from(row(template)).unwrap_or_default();
    out::pairs(&[
        ("purpose", purpose),
        ("event", event),
        ("language", language),
        ("origin", origin),
        ("subject", template.subject.trim().to_owned()),
    ]);
    out::say(format_args!("\n{}", template.text));
}

fn value(template: &pb::Template) -> Value {
    json!({
        "purpose": name(template),
        "event": template.event,
        "language": template.language,
        "built_in": template.built_in,
        "subject": template.subject,
        "text": template.text,
        "html": template.html,
        "etag": template.etag,
    })
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path)
        .map_err(|error| Failure::say(format!("{} cannot be read: {error}", path.display())))
}

/// Writes a file that was not there before.
fn write(path: &Path, text: &str) -> Outcome {
    let write = || -> io::Result<()> {
        use io::Write as _;
        let mut file = fs::File::create_new(path)?;
        file.write_all(text.as_bytes())
    };
    write().map_err(|error| Failure::say(format!("{} cannot be written: {error}", path.display())))
}
