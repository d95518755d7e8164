//! A mail server far away: how many round trips pass from a start to the server's "accepted", on a warm connection.

use std::{net::SocketAddr, time::Duration};

use mailfactor::pb::v1 as pb;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::{
    Outcome,
    arguments::Arguments,
    client::Callers,
    report::{Figure, Report, median},
    service::{self, Home},
    sink::Sink,
};

/// How long everything takes to the server, and again back.
const ONE_WAY: Duration = Duration::from_millis(50);

/// Measures starts that wait for the mail server, one after the other.
pub(crate) async fn measure(arguments: &Arguments, report: &mut Report) -> Outcome<()> {
    let starts = if arguments.quick { 3 } else { 9 };
    let home = Home::new(&arguments.binary, &arguments.directory, None, starts + 1)?;
    let (admin, key) = (home.caller("ops", "admin")?, home.caller("idp", "authenticator")?);
    let sink = Sink::start().await?;
    let (far, _relaying) = far_away(sink.address).await?;
    let service = home.serve().await?;
    service.office(&admin).await?.mail_through(far).await?;
    let callers = Callers::connect(service.address, &key, 1).await?;
    let mut round_trips = Vec::new();
    // The first one opens the connection.
    for number in 0..=starts {
        let request = callers.signed(pb::StartChallengeRequest {
            user: service::user(number),
            wait_for_mail_server: true,
            ..pb::StartChallengeRequest::default()
        });
        let began = Instant::now();
        let answer = callers.of(0).start_challenge(request).await?.into_inner();
        let took = began.elapsed();
        let delivery = answer.challenge.ok_or("a start without a challenge")?.delivery();
        if delivery != pb::DeliveryState::Sent {
            return Err(format!("the mail is {delivery:?}, not sent").into());
        }
        if number > 0 {
            round_trips.push(took.as_secs_f64() / (2 * ONE_WAY).as_secs_f64());
        }
    }
    service.stop().await?;
    report.add(
        Figure::new(
            "start to accepted, 50 ms each way",
            median(round_trips),
            "round trips",
        )
        .at(1)
        .at_most(2.3),
    );
    Ok(())
}

/// A way to a server on which everything takes [`ONE_WAY`], however much is under way.
async fn far_away(server: SocketAddr) -> Outcome<(SocketAddr, JoinSet<Outcome<()>>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut ways = JoinSet::new();
        loop {
            let (near, _) = listener.accept().await?;
            let far = TcpStream::connect(server).await?;
            near.set_nodelay(true)?;
            far.set_nodelay(true)?;
            let ((near_reads, near_writes), (far_reads, far_writes)) = (near.into_split(), far.into_split());
            ways.spawn(one_way(near_reads, far_writes));
            ways.spawn(one_way(far_reads, near_writes));
        }
    });
    Ok((address, tasks))
}

/// Carries bytes; each piece arrives as long after it was sent as any other.
async fn one_way(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> Outcome<()> {
    let (send, mut under_way) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let reading = async {
        loop {
            let mut piece = Vec::with_capacity(16 * 1024);
            if from.read_buf(&mut piece).await? == 0 {
                drop(send);
                return Outcome::Ok(());
            }
            send.send((Instant::now() + ONE_WAY, piece))?;
        }
    };
    let writing = async {
        while let Some((at, piece)) = under_way.recv().await {
            sleep_until(at).await;
            to.write_all(&piece).await?;
        }
        Outcome::Ok(to.shutdown().await?)
    };
    tokio::try_join!(reading, writing).map(|_| ())
}
