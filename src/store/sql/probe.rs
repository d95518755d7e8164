//! Whether the store works: a durable write and a read.

use async_trait::async_trait;

use super::{SqlStore, query::query};
use crate::store::{Probe, StoreResult};

#[async_trait]
impl Probe for SqlStore {
    async fn probe(&self) -> StoreResult<()> {
        self.operation("probe", async {
            let mut write = self.write().await?;
            let now = self.now(&mut write).await?;
            let row = write.engine().probe_row();
            let insert = ["INSERT INTO probe (id, at) VALUES (", row, ", $1)"].concat();
            query(insert + " ON CONFLICT (id) DO UPDATE SET at = excluded.at")
                .bind(now.as_micros())
                .execute(&mut write)
                .await?;
            write.commit().await?;
            let mut reader = self.reader().await?;
            query("SELECT at FROM probe WHERE at >= $1 LIMIT 1")
                .bind(now.as_micros())
                .fetch_one(&mut reader)
                .await?;
            Ok(())
        })
        .await
    }
}
