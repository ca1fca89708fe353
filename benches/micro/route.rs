//! Finding the route: it must cost the same whatever the number of routes.

use divan::{Bencher, black_box};
use tidegate::config::{Action, PathMatch, Route, Site};
use tidegate::route::Router;

use crate::head::{SMALL_REQUEST, request};

const TO_FIRST: Action = Action::Forward { upstream: 0 };

/// `/service/0` … beside `/`, found by the longest prefix.
#[divan::bench(args = [1, 100, 10_000])]
fn by_prefix(bencher: Bencher<'_, '_>, routes: usize) {
    let numbered = (0..routes).map(|n| Route::prefix(&format!("/service/{n}"), TO_FIRST));
    look_up(bencher, numbered.chain([Route::prefix("/", TO_FIRST)]));
}

/// As many regexes that don't match beside `/`.
#[divan::bench(args = [1, 100])]
fn past_regexes(bencher: Bencher<'_, '_>, routes: usize) {
    let regex = |n| Route { path: PathMatch::Regex(format!("^/files/{n}/.*\\.php$")), ..Route::prefix("/", TO_FIRST) };
    look_up(bencher, (0..routes).map(regex).chain([Route::prefix("/", TO_FIRST)]));
}

fn look_up(bencher: Bencher<'_, '_>, routes: impl Iterator<Item = Route>) {
    let site = routes.fold(Site::any(), Site::with_route);
    let router = Router::compile(&[site]).unwrap();
    let head = request(SMALL_REQUEST);
    bencher.bench_local(|| {
        let site = router.site(black_box(head.host())).unwrap();
        router.find(site, black_box(head.path()), &head).unwrap()
    });
}
