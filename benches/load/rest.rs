//! What the service costs when nobody calls, and how soon it is there.

use std::time::Duration;

use tokio::time::sleep;

use super::{
    Outcome,
    arguments::Arguments,
    helper::{Helper, Role},
    machine,
    report::{Figure, Report, median},
    service::Home,
    sink::Sink,
};

/// How long a service is left alone before its memory is looked at.
const SETTLED: Duration = Duration::from_secs(2);

const MIB: f64 = 1024.0 * 1024.0;

/// Readiness on an existing database, memory when idle, memory of pending challenges.
pub(crate) async fn measure(arguments: &Arguments, report: &mut Report) -> Outcome<()> {
    let home = Home::new(&arguments.binary, &arguments.directory, None, 3)?;
    let admin = home.caller("ops", "admin")?;
    let sink = Sink::start().await?;
    let service = home.serve().await?;
    service.office(&admin).await?.mail_through(sink.address).await?;
    service.stop().await?;
    let (mut ready, mut idle) = (Vec::new(), Vec::new());
    for _ in 0..arguments.repetitions() {
        let service = home.serve().await?;
        ready.push(service.ready_after.as_secs_f64() * 1e3);
        sleep(SETTLED).await;
        idle.push(service.usage()?.resident as f64 / MIB);
        service.stop().await?;
    }
    report.add(Figure::new("exec to health SERVING", median(ready), "ms").at_most(300.0));
    report.add(Figure::new("resident when idle", median(idle), "MiB").at_most(25.0));
    let challenges: usize = if arguments.quick { 50_000 } else { 1_000_000 };
    let told = Helper::ask(Role::Pending, machine::SERVER, &[challenges.to_string()])?;
    let bytes = told.first().copied().ok_or("no size was told")?;
    report.add(
        Figure::new("memory of a pending challenge", bytes, "bytes")
            .at(challenges)
            .at_most(600.0),
    );
    Ok(())
}
