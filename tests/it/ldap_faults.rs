//! Directories that are down, frozen, slow, somebody else's or mad: no start within 3 s (R9), nothing mailed, verifying goes
//! on; and where there is a second server, nobody notices.

use std::time::Duration;

use mailfactor::{app::Machine, pb::v1 as pb};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinSet,
    time::{Instant, timeout},
};
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::{
    harness::{
        certs::{Authority, Kind},
        client::{Client, health},
        ground::{Ground, reason, wait_for_health},
        letter,
        proxy::{Fault, Proxy},
        service::{Home, Service, metrics_page},
        slapd::{BIND_PASSWORD, LIMITED_DN, LdapEntry, Slapd},
    },
    ldap::{corp, home_with, ldaps},
};

/// The promise.
const ANSWER: Duration = Duration::from_secs(3);

/// A service whose directory is about to fail, and a challenge that was started before.
struct Trouble {
    scene: Ground,
    service: Service,
    idp: Client,
    challenge: pb::Challenge,
    mails: usize,
}

impl Trouble {
    async fn begin(home: Home) -> Self {
        let scene = Ground::set(home).await;
        let (service, idp) = scene.serve(Machine::real()).await;
        let challenge = idp.start("ann").await.unwrap();
        let mails = scene.smtp.wait_for_mails(1).await.len();
        Self {
            scene,
            service,
            idp,
            challenge,
            mails,
        }
    }

    /// Nobody can be looked up, in time and again; nothing is mailed; what was started verifies.
    async fn refuses(self, what: &str) {
        for user in ["ann", "nobody", "ann"] {
            let answer = timeout(ANSWER, self.idp.start(user)).await;
            let status = answer
                .unwrap_or_else(|_| panic!("{what}: no answer in time"))
                .unwrap_err();
            let expected = (Code::Unavailable, "REPOSITORY_UNAVAILABLE".to_owned());
            assert_eq!(reason(&status), expected, "{what}");
        }
        let code = letter::newest_to(&self.scene.smtp, "ann@example.com").await;
        let verdict = self
            .idp
            .verify(&self.challenge.challenge_id, &code)
            .await
            .unwrap();
        assert_eq!(verdict.result(), pb::VerifyResult::Verified, "{what}");
        assert_eq!(
            self.scene.smtp.mails().len(),
            self.mails,
            "{what}: something was mailed"
        );
        // The service as a whole is as well as before; the repository is not.
        let health = health(self.service.grpc, "").await;
        assert_eq!(health, Some(ServingStatus::Serving), "{what}");
        wait_for_health(
            self.service.grpc,
            "repository/corp",
            ServingStatus::NotServing,
            ANSWER,
        )
        .await;
        self.service.stop().await;
    }
}

fn small(authority: &Authority, kind: Kind) -> Option<Slapd> {
    let ann = LdapEntry::person("people", "ann", &["ann@example.com"]);
    Slapd::start(authority, kind, &[ann])
}

#[tokio::test]
async fn a_directory_that_is_down_or_frozen_is_unavailable_in_time() {
    let authority = Authority::new();
    for frozen in [true, false] {
        let Some(slapd) = small(&authority, Kind::Good) else {
            return;
        };
        let home = home_with(corp(&[ldaps(&slapd)], authority.path(), &[]));
        let trouble = Trouble::begin(home).await;
        if frozen {
            slapd.freeze(true);
            trouble.refuses("frozen").await;
        } else {
            slapd.kill();
            trouble.refuses("down").await;
        }
    }
}

#[tokio::test]
async fn a_network_that_fails_is_unavailable_in_time() {
    let Some((slapd, authority)) = Slapd::shared() else {
        return;
    };
    for fault in [
        Fault::Latency(Duration::from_secs(5)),
        Fault::Throughput(20),
        Fault::BlackHole,
        Fault::HalfOpen,
        Fault::Reset,
    ] {
        let proxy = Proxy::start(slapd.ldaps).await;
        let server = format!("ldaps://localhost:{}", proxy.address.port());
        let trouble = Trouble::begin(home_with(corp(&[server], authority.path(), &[]))).await;
        proxy.set(fault);
        trouble.refuses(&format!("{fault:?}")).await;
    }
}

/// Those who answer from the start with something that must not be believed: each is another server, in whose place a good
/// one stands while the challenge is started.
#[tokio::test]
async fn what_must_not_be_believed_is_unavailable_in_time() {
    let Some((slapd, authority)) = Slapd::shared() else {
        return;
    };
    let stranger = Authority::new();
    let limited = [
        ("bind_dn", LIMITED_DN.into()),
        ("bind_password", BIND_PASSWORD.into()),
        // Two people have this name.
        ("filter", "(&(uid=twin)(|(cn=twin)(cn={user})))".into()),
    ];
    let away = [("base", "ou=away,dc=example,dc=com".into())];
    let wrong_password = [("bind_password", "wrong-canary-7".into())];
    let Some(expired) = small(authority, Kind::Expired) else {
        return;
    };
    let Some(misnamed) = small(authority, Kind::WrongName) else {
        return;
    };
    let good = || corp(&[ldaps(slapd)], authority.path(), &[]);
    for (what, bad) in [
        ("another authority", corp(&[ldaps(slapd)], stranger.path(), &[])),
        (
            "an expired certificate",
            corp(&[ldaps(&expired)], authority.path(), &[]),
        ),
        ("another name", corp(&[ldaps(&misnamed)], authority.path(), &[])),
        ("a referral", corp(&[ldaps(slapd)], authority.path(), &away)),
        ("a size limit", corp(&[ldaps(slapd)], authority.path(), &limited)),
        (
            "a password of ours that is wrong",
            corp(&[ldaps(slapd)], authority.path(), &wrong_password),
        ),
    ] {
        let mut trouble = Trouble::begin(home_with(good())).await;
        trouble.service.stop().await;
        trouble
            .scene
            .home
            .set("repository", toml::Value::Array(vec![bad]));
        (trouble.service, trouble.idp) = {
            let service = trouble.scene.home.serve(Machine::real()).await;
            let idp = service.client(&trouble.scene.idp).await;
            (service, idp)
        };
        trouble.refuses(what).await;
    }
    // The name that the certificate is for may be said.
    let named = [("server_name", "mail.example.org".into())];
    let home = home_with(corp(&[ldaps(&misnamed)], authority.path(), &named));
    Trouble::begin(home).await.service.stop().await;
}

/// A server that says these bytes to whoever asks, over and over.
async fn babbler(bytes: &'static [u8]) -> (std::net::SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            connections.spawn(async move {
                let mut request = [0; 512];
                while stream.read(&mut request).await.is_ok_and(|count| count > 0) {
                    for _ in 0..10_000 {
                        if stream.write_all(bytes).await.is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
    (address, tasks)
}

#[tokio::test]
async fn garbage_is_unavailable_in_time_and_bounded() {
    let Some((slapd, authority)) = Slapd::shared() else {
        return;
    };
    for (scheme, bytes) in [
        ("ldap", &b"\xff\xfe\x00garbage\x80\x81"[..]),
        ("ldap", b"HTTP/1.1 200 OK\r\n\r\n"),
        ("ldap", b"\x30\x84\x00\x07\x00\x00"),
        ("ldap", b"\x30\x84\xff\xff\xff\xff\x02\x01\x01"),
        ("ldap", b"\x30\x05\x02\x01\x01\x64\x00"),
        (
            "ldap",
            b"\x30\x0c\x02\x01\x01\x65\x07\x0a\x01\x00\x04\x00\x04\x00",
        ),
        ("ldaps", b"\xff\xfe\x00garbage\x80\x81"),
    ] {
        let (address, _tasks) = babbler(bytes).await;
        let mut trouble = Trouble::begin(home_with(corp(&[ldaps(slapd)], authority.path(), &[]))).await;
        trouble.service.stop().await;
        let bad = corp(&[format!("{scheme}://{address}")], authority.path(), &[]);
        trouble
            .scene
            .home
            .set("repository", toml::Value::Array(vec![bad]));
        let service = trouble.scene.home.serve(Machine::real()).await;
        trouble.idp = service.client(&trouble.scene.idp).await;
        trouble.service = service;
        trouble.refuses(&format!("{scheme} {bytes:x?}")).await;
    }
}

/// The first of two servers fails in every way there is: a start is answered in time by the second, and, once the first is
/// known to fail, without a delay.
#[tokio::test]
async fn a_second_server_takes_over() {
    let Some((slapd, authority)) = Slapd::shared() else {
        return;
    };
    for fault in [
        Fault::Reset,
        Fault::BlackHole,
        Fault::HalfOpen,
        Fault::Latency(Duration::from_secs(5)),
    ] {
        let proxy = Proxy::start(slapd.ldaps).await;
        let servers = [
            format!("ldaps://localhost:{}", proxy.address.port()),
            ldaps(slapd),
        ];
        let home = home_with(corp(&servers, authority.path(), &[]));
        let scene = Ground::set(home).await;
        let (service, idp) = scene.serve(Machine::real()).await;
        idp.start("ann").await.unwrap();
        proxy.set(fault);
        for attempt in 0..5 {
            let began = Instant::now();
            let answer = timeout(ANSWER, idp.start("ann")).await;
            answer
                .unwrap_or_else(|_| panic!("{fault:?}: no answer in time"))
                .unwrap();
            let took = began.elapsed();
            assert!(
                attempt == 0 || took < Duration::from_millis(700),
                "{fault:?}: {took:?}"
            );
        }
        assert_eq!(
            reason(&idp.start("nobody").await.unwrap_err()).1,
            "USER_UNKNOWN",
            "{fault:?}"
        );
        assert_eq!(
            health(service.grpc, "repository/corp").await,
            Some(ServingStatus::Serving)
        );
        let page = metrics_page(service.metrics).await;
        let gauge = format!(
            "mailfactor_repository_server_up{{repository=\"corp\",server=\"localhost:{}\"}}",
            proxy.address.port()
        );
        assert!(page.contains(&format!("{gauge} 0")), "{page}");
        // Once it is back, it is asked first again.
        proxy.set(Fault::None);
        let reached = timeout(Duration::from_secs(20), async {
            while !metrics_page(service.metrics)
                .await
                .contains(&format!("{gauge} 1"))
            {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        reached
            .await
            .unwrap_or_else(|_| panic!("{fault:?}: the first server stays in doubt"));
        service.stop().await;
    }
}

/// Finding the user and checking the password share one deadline.
#[tokio::test]
async fn a_password_has_no_more_time_than_a_start() {
    let Some((slapd, authority)) = Slapd::shared() else {
        return;
    };
    let proxy = Proxy::start(slapd.ldaps).await;
    let server = format!("ldaps://localhost:{}", proxy.address.port());
    let scene = Ground::set(home_with(corp(&[server], authority.path(), &[]))).await;
    let (service, idp) = scene.serve(Machine::real()).await;
    idp.start_with("ann", "ann-pass").await.unwrap();
    scene.smtp.wait_for_mails(1).await;
    for fault in [
        Fault::Latency(Duration::from_millis(700)),
        Fault::BlackHole,
        Fault::Reset,
    ] {
        proxy.set(fault);
        for (user, password) in [("ann", "ann-pass"), ("ann", "wrong"), ("nobody", "wrong")] {
            let answer = timeout(ANSWER, idp.start_with(user, password)).await;
            let status = answer
                .unwrap_or_else(|_| panic!("{fault:?}: no answer in time"))
                .unwrap_err();
            assert_eq!(reason(&status).1, "REPOSITORY_UNAVAILABLE", "{fault:?}");
        }
    }
    assert_eq!(scene.smtp.mails().len(), 1, "nothing was mailed");
    proxy.set(Fault::None);
    crate::harness::in_time(async { while idp.start_with("ann", "ann-pass").await.is_err() {} }).await;
    service.stop().await;
}

/// A server that restarts closes connections that lie idle: the next start does not notice.
#[tokio::test]
async fn connections_that_the_server_closed_cost_no_start() {
    let Some((slapd, authority)) = Slapd::shared() else {
        return;
    };
    let proxy = Proxy::start(slapd.ldaps).await;
    let server = format!("ldaps://localhost:{}", proxy.address.port());
    let home = home_with(corp(&[server], authority.path(), &[]));
    let scene = Ground::set(home).await;
    let (service, idp) = scene.serve(Machine::real()).await;
    for _ in 0..5 {
        idp.start("ann").await.unwrap();
        proxy.set(Fault::Reset);
        tokio::task::yield_now().await;
        proxy.set(Fault::None);
        idp.start("ann").await.unwrap();
    }
    service.stop().await;
}

/// What is elsewhere is found there, on hosts that are named; on others it is not.
#[tokio::test]
async fn referrals_are_followed_to_named_hosts_alone() {
    let authority = Authority::new();
    let zoe = LdapEntry::person("others", "zoe", &["zoe@example.com"]);
    let Some(far) = Slapd::start(&authority, Kind::Good, &[zoe]) else {
        return;
    };
    let address = format!(
        "ldap://localhost:{}/ou=others,dc=example,dc=com??sub",
        far.ldap.port()
    );
    let near = [
        LdapEntry::person("people", "ann", &["ann@example.com"]),
        LdapEntry::referral("away", &address),
    ];
    let Some(near) = Slapd::start(&authority, Kind::Good, &near) else {
        return;
    };
    for (base, hosts, found) in [
        // The whole tree, of which a part is elsewhere; and that part alone.
        ("dc=example,dc=com", vec!["localhost"], "found"),
        ("ou=away,dc=example,dc=com", vec!["localhost"], "found"),
        ("dc=example,dc=com", vec![], "USER_UNKNOWN"),
        ("dc=example,dc=com", vec!["elsewhere.example"], "USER_UNKNOWN"),
        (
            "ou=away,dc=example,dc=com",
            vec!["elsewhere.example"],
            "REPOSITORY_UNAVAILABLE",
        ),
    ] {
        let hosts: Vec<toml::Value> = hosts.into_iter().map(toml::Value::from).collect();
        let more = [
            ("base", base.into()),
            ("referral_hosts", toml::Value::Array(hosts)),
        ];
        let scene = Ground::set(home_with(corp(&[ldaps(&near)], authority.path(), &more))).await;
        let (service, idp) = scene.serve(Machine::real()).await;
        let told = match idp.start("zoe").await {
            Ok(_) => "found".to_owned(),
            Err(status) => reason(&status).1,
        };
        assert_eq!(told, found, "{base}");
        service.stop().await;
    }
}
