//! What nginx doesn't have: one count over all workers, a floor, and what is told about ejections.

use crate::support::{Answer, Origin, Setup, eventually};

fn failing() -> Origin {
    Origin::answering(Answer::nothing().close())
}

const EJECTING: &str = "policy = \"round_robin\"\nfail_timeout = \"30s\"\nretry.budget = \"off\"";

#[test]
fn failures_add_up_over_all_workers() {
    let (a, b) = (failing(), Origin::named("b"));
    let setup = Setup::to(&[a.address(), b.address()]).top("workers = 4").upstream(EJECTING);
    let gate = setup.upstream("max_fails = 4").start();
    for _ in 0..40 {
        assert_eq!(gate.get("/").text(), "b");
    }
    assert_eq!(a.heads(), 4);
}

#[test]
fn an_ejection_stands_in_the_metrics() {
    let (a, b) = (failing(), Origin::named("b"));
    let gate = Setup::to(&[a.address(), b.address()]).upstream(EJECTING).start();
    for _ in 0..4 {
        gate.get("/");
    }
    let of = |name: &str, origin: &Origin| gate.metric(&format!("{name}{{endpoint=\"{}\"}}", origin.address()));
    assert_eq!((of("tidegate_endpoint_ejected", &a), of("tidegate_endpoint_ejected", &b)), (1.0, 0.0));
    assert_eq!(of("tidegate_endpoint_ejections_total", &a), 1.0);
    assert_eq!(of("tidegate_endpoint_failures_total", &a), 1.0);
    assert_eq!(of("tidegate_retries_total", &a), 1.0);
}

#[test]
fn the_floor_keeps_half_of_the_endpoints_whatever_they_do() {
    let all = [failing(), failing(), failing(), failing()];
    let addresses: Vec<_> = all.iter().map(Origin::address).collect();
    let gate = Setup::to(&addresses).upstream(EJECTING).start();
    for _ in 0..20 {
        assert_eq!(gate.get("/").status, 502);
    }
    assert_eq!(gate.metric("tidegate_endpoint_ejected"), 2.0);
    // The other two go on being asked.
    assert!(
        all.iter().filter(|o| o.heads() >= 15).count() >= 2,
        "{:?}",
        all.iter().map(Origin::heads).collect::<Vec<_>>()
    );
}

#[test]
fn without_the_floor_all_may_be_ejected() {
    let all = [failing(), failing(), failing()];
    let addresses: Vec<_> = all.iter().map(Origin::address).collect();
    let gate = Setup::to(&addresses).top("workers = 1").upstream(EJECTING).upstream("min_available = \"0%\"").start();
    for _ in 0..5 {
        gate.get("/");
    }
    assert_eq!(gate.metric("tidegate_endpoint_ejected"), 3.0);
    assert_eq!(gate.records(5)[4]["reason"], "no_endpoint");
}

#[test]
fn only_one_request_probes_an_endpoint_whose_time_is_over() {
    let (a, b) = (failing(), Origin::named("b"));
    let setup = Setup::to(&[a.address(), b.address()]).upstream("policy = \"round_robin\"\nfail_timeout = \"1s\"");
    let gate = setup.upstream("retry.budget = \"off\"").start();
    gate.get("/");
    gate.get("/");
    assert_eq!(a.heads(), 1);
    a.answer_with(|_| Answer::nothing().hang());
    // The first one to probe hangs; the others must not wait behind it.
    let clients = std::cell::RefCell::new(Vec::new());
    eventually("a probe", || {
        let mut client = gate.client();
        client.send(crate::support::get("/"));
        clients.borrow_mut().push(client);
        a.heads() == 2
    });
    for _ in 0..10 {
        assert_eq!(gate.get("/").text(), "b");
    }
    assert_eq!(a.heads(), 2);
}
