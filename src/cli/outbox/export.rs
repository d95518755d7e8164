//! `outbox export`: the report as CSV.

use std::{
    fs::File,
    io::{self, Write},
    path::PathBuf,
};

use clap::Args;

use super::{
    super::{Failure, Outcome, client::ClientArguments},
    filters::Filters,
};
use crate::pb::v1 as pb;

#[derive(Debug, Args)]
pub(in crate::cli) struct Export {
    #[command(flatten)]
    filters: Filters,
    /// The file to write; without one, standard output.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    client: ClientArguments,
}

impl Export {
    pub(super) async fn run(self) -> Outcome {
        let mut client = self.client.connect_stream().await?;
        let request = pb::ExportEntriesRequest {
            entries: Some(self.filters.request()),
        };
        let mut chunks = client.outbox.export_entries(request).await?.into_inner();
        let mut output: Box<dyn Write + Send> =
            match &self.output {
                Some(path) => Box::new(File::create(path).map_err(|error| {
                    Failure::say(format!("{} cannot be written: {error}", path.display()))
                })?),
                None => Box::new(io::stdout()),
            };
        while let Some(chunk) = chunks.message().await? {
            output
                .write_all(&chunk.csv)
                .map_err(|error| Failure::say(format!("the output cannot be written: {error}")))?;
        }
        output
            .flush()
            .map_err(|error| Failure::say(format!("the output cannot be written: {error}")))
    }
}
