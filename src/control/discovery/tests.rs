//! When a source is looked at, and what becomes of what it says; with paused time.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::*;

/// Says what it is told to, once for each look, and notes when that was.
struct Script {
    answers: VecDeque<Result<Answer, LookError>>,
    looked: Arc<Mutex<Vec<Duration>>>,
    start: Instant,
    /// After so long it says that it has changed, once.
    changes: Option<Duration>,
}

impl Script {
    fn new(answers: impl IntoIterator<Item = Result<Answer, LookError>>) -> Self {
        let answers = answers.into_iter().collect();
        Self { answers, looked: Arc::default(), start: Instant::now(), changes: None }
    }
}

impl Source for Script {
    async fn look(&mut self, _: &[Found]) -> Result<Answer, LookError> {
        self.looked.lock().unwrap().push(self.start.elapsed());
        match self.answers.pop_front() {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }

    async fn changed(&mut self) {
        match self.changes {
            Some(after) => {
                sleep_until(self.start + after).await;
                self.changes = None;
            }
            None => std::future::pending().await,
        }
    }
}

fn answer(hosts: &[u8], ttl: Option<u64>) -> Result<Answer, LookError> {
    let found = hosts.iter().map(|host| Found::at(SocketAddr::from(([10, 0, 0, *host], 80)))).collect();
    Ok(Answer { found, ttl: ttl.map(Duration::from_secs), flaw: None })
}

fn source() -> EndpointSource {
    EndpointSource::Addresses { host: "app".to_owned(), port: 80 }
}

fn upstream(name: &str) -> Arc<Upstream> {
    let mut config = config::Upstream::to(name, ["app:80"]);
    config.endpoints[0].source = Some(source());
    Arc::new(Upstream::new(&config, None))
}

fn refresh() -> Refresh {
    Refresh::new(&config::Resolver::default())
}

fn hosts(upstream: &Upstream) -> Vec<String> {
    upstream.endpoints().iter().map(|endpoint| endpoint.name().to_owned()).collect()
}

/// Drives a script for an hour, and tells when it was looked at, in seconds.
async fn times(script: Script, known: &Known, users: &[Arc<Upstream>]) -> Vec<f64> {
    let looked = Arc::clone(&script.looked);
    let driven = tokio::time::timeout(Duration::from_secs(3600), drive(script, known, &refresh(), users)).await;
    assert!(driven.is_err());
    let looked = looked.lock().unwrap();
    looked.iter().map(Duration::as_secs_f64).collect()
}

/// Each is as long after the one before, or up to a tenth longer.
fn assert_pauses(times: &[f64], pauses: &[f64]) {
    assert_eq!(times.len(), pauses.len() + 1, "{times:?}");
    for (pair, pause) in times.windows(2).zip(pauses) {
        let waited = pair[1] - pair[0];
        assert!((pause - 0.01..=pause * 1.1 + 0.01).contains(&waited), "{waited} of {pause}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_asked_for_again_when_its_time_is_over() {
    let (known, user) = (Known::new(source()), upstream("u"));
    let script = Script::new([answer(&[1], Some(5)), answer(&[1, 2], Some(60)), answer(&[2], Some(86_400))]);
    let times = times(script, &known, &[Arc::clone(&user)]).await;
    assert_pauses(&times, &[5.0, 60.0, 300.0]);
    assert_eq!(hosts(&user), ["10.0.0.2:80"]);
    assert_eq!(known.sample().changes, 3);
}

#[tokio::test(start_paused = true)]
async fn failures_keep_what_was_found_and_are_retried_with_longer_pauses() {
    let (known, user) = (Known::new(source()), upstream("u"));
    let failure = || Err(LookError::TimedOut);
    let script = Script::new([
        answer(&[1, 2], Some(10)),
        failure(),
        failure(),
        Err(LookError::NoSuchName),
        answer(&[], Some(10)),
        failure(),
        failure(),
        failure(),
        answer(&[3], Some(10)),
        failure(),
    ]);
    let looked = Arc::clone(&script.looked);
    let times = times(script, &known, &[Arc::clone(&user)]).await;
    assert_pauses(&times, &[10.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 10.0, 1.0]);
    assert_eq!(looked.lock().unwrap().len(), 11);
    let sample = known.sample();
    assert_eq!((sample.endpoints, sample.failures, sample.failing), (1, 8, true));
    assert_eq!(hosts(&user), ["10.0.0.3:80"]);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_says_so_is_looked_at_before_its_time() {
    let (known, user) = (Known::new(source()), upstream("u"));
    let mut script = Script::new([answer(&[1], None), answer(&[2], None)]);
    script.changes = Some(Duration::from_secs(100));
    let times = times(script, &known, &[Arc::clone(&user)]).await;
    assert_pauses(&times, &[100.0]);
    assert_eq!(hosts(&user), ["10.0.0.2:80"]);
}

#[tokio::test(start_paused = true)]
async fn after_a_reload_the_schedule_goes_on_and_what_fails_is_looked_at_at_once() {
    let known = Known::new(source());
    let first = times(Script::new([answer(&[1], Some(7200))]), &known, &[upstream("u")]).await;
    // The bound of 5 minutes: a second look had come, and hangs.
    assert_pauses(&first, &[300.0]);
    known.note(answer(&[1], Some(300)), &refresh(), &[]);
    known.begin(false);
    let user = upstream("v");
    let second = times(Script::new([answer(&[1], Some(300))]), &known, &[Arc::clone(&user)]).await;
    assert_eq!(hosts(&user), ["10.0.0.1:80"]);
    assert!(second[0] >= 300.0, "{second:?}");
    known.note(Err(LookError::TimedOut), &refresh(), &[]);
    known.begin(false);
    assert!(times(Script::new([]), &known, &[]).await[0] < 0.01);
    known.note(answer(&[1], Some(300)), &refresh(), &[]);
    known.begin(true);
    assert!(times(Script::new([]), &known, &[]).await[0] < 0.01, "other servers are asked at once");
}

#[tokio::test(start_paused = true)]
async fn an_answer_with_a_flaw_counts_no_longer_than_without() {
    let known = Known::new(source());
    let flawed = |hosts: &[u8], ttl| {
        let answer = answer(hosts, Some(ttl)).unwrap();
        Ok(Answer { flaw: Some(LookError::TimedOut), ..answer })
    };
    let script = Script::new([flawed(&[1], 300), flawed(&[2], 300), flawed(&[3], 300), flawed(&[3], 2)]);
    let user = upstream("u");
    assert_pauses(&times(script, &known, &[Arc::clone(&user)]).await, &[1.0, 2.0, 4.0, 2.0]);
    assert_eq!((known.sample().failures, hosts(&user)), (4, vec!["10.0.0.3:80".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn all_who_use_a_source_get_what_it_finds() {
    let (known, users) = (Known::new(source()), [upstream("u"), upstream("v")]);
    times(Script::new([answer(&[1, 2], Some(300))]), &known, &users).await;
    assert!(users.iter().all(|user| hosts(user) == ["10.0.0.1:80", "10.0.0.2:80"]));
}

#[test]
fn services_on_any_runtime_can_run_it() {
    fn is_send(_: impl Send) {}
    let (discovery, resolver) = (Discovery::default(), config::Resolver::default());
    is_send(discovery.first(&[], &resolver, Duration::ZERO));
    is_send(discovery.run(&[], &resolver));
}
