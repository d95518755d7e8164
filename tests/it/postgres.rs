//! The service on PostgreSQL.

use super::harness::{postgres::Postgres, postgres_faults::Stop};

#[test]
fn the_harness_works() {
    let Some(server) = Postgres::start() else { return };
    let name = server.database();
    assert_eq!(server.sql(&name, "SELECT 1 + 1"), "2");
    server.stop(Stop::Fast);
    server.start_again();
    server.stop(Stop::Immediate);
    server.start_again();
    server.pause();
    server.resume();
    server.terminate_backends(&name);
    assert_eq!(server.sql(&name, "SELECT 1 + 1"), "2");
    println!("{}", server.url(&name));
}
