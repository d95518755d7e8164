//! `MailOutbox`: parse, call the office, map.

use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, future, stream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::{BoxStream, caller, convert, status};
use crate::{
    pb::v1 as pb,
    policy::{InboxOffice, Office},
};

/// The service over the office.
pub(super) struct Outbox {
    pub(super) office: Arc<Office>,
    pub(super) inboxes: Arc<InboxOffice>,
    pub(super) soft: CancellationToken,
}

#[tonic::async_trait]
impl pb::mail_outbox_server::MailOutbox for Outbox {
    async fn list_entries(
        &self,
        request: Request<pb::ListEntriesRequest>,
    ) -> Result<Response<pb::ListEntriesResponse>, Status> {
        let caller = caller::of(&request)?;
        let listing =
            convert::list_entries(request.into_inner()).map_err(|faults| status::invalid(&faults))?;
        let turn = self.office.reports.turn(&caller).await;
        let _turn = turn.ok_or_else(status::reports_overloaded)?;
        let page = self
            .office
            .list_entries(&listing.search, listing.after, listing.size)
            .await
            .map_err(|error| status::outbox(&error))?;
        Ok(Response::new(pb::ListEntriesResponse {
            next_page_token: convert::page_token(page.next, &listing.search),
            entries: page.entries.into_iter().map(convert::entry).collect(),
        }))
    }

    async fn get_entry(
        &self,
        request: Request<pb::GetEntryRequest>,
    ) -> Result<Response<pb::GetEntryResponse>, Status> {
        let id = convert::id("entry_id", &request.get_ref().entry_id)
            .map_err(|faults| status::invalid(&faults))?;
        let found = self.office.entry(id).await;
        let (entry, attempts) = found.map_err(|error| status::outbox(&error))?;
        let reports = self
            .inboxes
            .reports(id)
            .await
            .map_err(|error| status::store(&error))?;
        Ok(Response::new(pb::GetEntryResponse {
            entry: Some(convert::entry(entry)),
            attempts: attempts.into_iter().map(convert::attempt).collect(),
            reports: reports.into_iter().map(convert::delivery_report).collect(),
        }))
    }

    async fn requeue_entry(
        &self,
        request: Request<pb::RequeueEntryRequest>,
    ) -> Result<Response<pb::RequeueEntryResponse>, Status> {
        let caller = caller::of(&request)?;
        let id = convert::id("entry_id", &request.get_ref().entry_id)
            .map_err(|faults| status::invalid(&faults))?;
        let requeued = self.office.requeue_entry(&caller, id).await;
        let entry = requeued.map_err(|error| status::requeue(&error))?;
        Ok(Response::new(pb::RequeueEntryResponse {
            entry: Some(convert::entry(entry)),
        }))
    }

    type ExportEntriesStream = BoxStream<pb::ExportEntriesResponse>;

    async fn export_entries(
        &self,
        request: Request<pb::ExportEntriesRequest>,
    ) -> Result<Response<Self::ExportEntriesStream>, Status> {
        let caller = Arc::clone(&caller::of(&request)?.caller);
        let search =
            convert::export_entries(request.into_inner()).map_err(|faults| status::invalid(&faults))?;
        let pages = self.office.export_entries(caller, search).map(|page| match page {
            Ok(page) => Ok(convert::csv(&page.entries)),
            Err(error) => Err(status::outbox(&error)),
        });
        let chunks = stream::once(future::ready(Ok(convert::csv_headings()))).chain(pages);
        let chunks = chunks.map_ok(|csv: String| pb::ExportEntriesResponse { csv: csv.into() });
        Ok(Response::new(super::until(self.soft.clone(), chunks)))
    }

    type WatchEntriesStream = BoxStream<pb::WatchEntriesResponse>;

    async fn watch_entries(
        &self,
        request: Request<pb::WatchEntriesRequest>,
    ) -> Result<Response<Self::WatchEntriesStream>, Status> {
        let (search, recent) =
            convert::watch_entries(request.into_inner()).map_err(|faults| status::invalid(&faults))?;
        let news = self.office.watch_entries(search, recent).await;
        let news = news.map_err(|error| status::outbox(&error))?;
        let news = news.map(|news| match news {
            Ok(news) => Ok(convert::entry_news(news)),
            Err(error) => Err(status::outbox(&error)),
        });
        Ok(Response::new(super::until(self.soft.clone(), news)))
    }
}
