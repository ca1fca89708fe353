//! `[[site.route]]` → [`Route`].

use std::collections::HashMap;

use super::{Checker, Names, headers};
use crate::config::diagnostic::{Place, quote};
use crate::config::file::{Condition, ReplyFile, RouteFile, SiteFile};
use crate::config::model::{Action, HeaderMatch, PathMatch, Route};
use crate::config::read::{At, Many};
use crate::config::value::{Name, SecurityHeaders};

/// What makes two routes of a site the same: path, methods, header conditions.
type Match = (String, Vec<String>, Vec<(String, Option<String>)>);

impl Checker<'_> {
    /// `bundle` is the set of security headers that holds around the routes.
    pub(super) fn routes(
        &mut self,
        site: &SiteFile,
        bundle: SecurityHeaders,
        upstreams: &mut Names,
        limits: &mut Names,
    ) -> Vec<Route> {
        // Resolved once, so that a wrong name is one complaint, and used even if no route takes them over.
        let site_limits = self.limit_indices(&site.limit, limits);
        let site_request_headers = headers::rules(&site.request_headers);
        let mut seen: HashMap<Match, Place> = HashMap::new();
        let mut unconditional: HashMap<String, Place> = HashMap::new();
        let mut routes = Vec::with_capacity(site.route.items.len());
        for file in &site.route.items {
            let action = self.action(file, upstreams);
            let route_limits = file.limit.as_ref().map(|names| self.limit_indices(names, limits));
            let Some(path) = &file.path else { continue };
            let methods = methods(file);
            let conditions = conditions(file);
            self.reachable(file, &methods, &conditions, &mut seen, &mut unconditional);
            let here = file.security_headers.as_ref().map(|b| b.value);
            let mut response_headers = headers::security_rules(here, bundle);
            response_headers.extend(headers::rules(&file.response_headers));
            let Some(action) = action else { continue };
            routes.push(Route {
                name: file.name.as_ref().map_or(&*path.written, |name| &*name.0).into(),
                path: path.matches.clone(),
                methods,
                headers: conditions,
                action,
                limits: route_limits.unwrap_or_else(|| site_limits.clone()),
                max_body_size: file.max_body_size.as_ref().unwrap_or(&site.max_body_size).0.map(|size| size.0),
                request_headers: [site_request_headers.clone(), headers::rules(&file.request_headers)].concat(),
                response_headers,
            });
        }
        routes
    }

    /// Exactly one of `upstream`, `redirect` and `reply`.
    fn action(&mut self, file: &At<RouteFile>, upstreams: &mut Names) -> Option<Action> {
        let written = [
            file.upstream.as_ref().map(|u| ("upstream", u.place)),
            file.redirect.as_ref().map(|r| ("redirect", r.place)),
            file.reply.as_ref().map(|r| ("reply", r.place)),
        ];
        let mut written = written.into_iter().flatten();
        let Some((first_key, first)) = written.next() else {
            if !file.wrong {
                self.error("this route leads nowhere", file.place, "")
                    .help("give it an `upstream`, a `redirect` or a `reply`");
            }
            return None;
        };
        if let Some((key, place)) = written.next() {
            self.error(format!("a route can't have both `{first_key}` and `{key}`"), place, "and here")
                .also(first, "here")
                .help("keep one of them");
        }
        if let Some(name) = &file.upstream {
            return Some(Action::Forward { upstream: upstreams.find(name, self)? });
        }
        if let Some(redirect) = &file.redirect {
            let to = redirect.to.as_ref()?.0.clone();
            return Some(Action::Redirect { status: redirect.status.0, to });
        }
        self.reply(file.reply.as_ref()?)
    }

    fn reply(&mut self, file: &At<ReplyFile>) -> Option<Action> {
        let status = file.status.0 as u16;
        let body = self.body(file.body.as_ref(), file.file.as_ref()).unwrap_or_default();
        if matches!(status, 204 | 205 | 304) && !body.is_empty() {
            let place = file.body.as_ref().map(|b| b.place).or(file.file.as_ref().map(|f| f.place));
            self.error(format!("a {status} has no body"), place.unwrap_or(file.place), "")
                .help("leave the body out, or use another status");
        }
        Some(Action::Reply { status, content_type: file.content_type.0.clone(), body: body.into() })
    }

    fn limit_indices(&mut self, names: &Many<Name>, limits: &mut Names) -> Vec<usize> {
        let mut indices: Vec<usize> = Vec::with_capacity(names.items.len());
        for name in &names.items {
            let Some(index) = limits.find(name, self) else { continue };
            if indices.contains(&index) {
                self.error(format!("limit {} stands here twice", quote(&name.0)), name.place, "again")
                    .help("each limit is charged once a request");
            } else {
                indices.push(index);
            }
        }
        indices
    }

    /// Complains about a route that an earlier one leaves nothing for.
    fn reachable(
        &mut self,
        file: &At<RouteFile>,
        methods: &[String],
        conditions: &[HeaderMatch],
        seen: &mut HashMap<Match, Place>,
        unconditional: &mut HashMap<String, Place>,
    ) {
        let Some(path) = &file.path else { return };
        let key = match_key(&path.matches);
        let mut sorted = methods.to_vec();
        sorted.sort();
        let mut fields: Vec<_> = conditions.iter().map(|c| (c.name.clone(), c.value.clone())).collect();
        fields.sort();
        let same = (key.clone(), sorted, fields);
        if let Some(&first) = seen.get(&same) {
            self.error(format!("two routes for {}", quote(&path.written)), path.place, "again")
                .also(first, "the first")
                .help("remove one, or tell them apart by `methods` or `headers`");
            return;
        }
        if let Some(&first) = unconditional.get(&key) {
            self.warn(
                format!("this route for {} is never reached", quote(&path.written)),
                path.place,
                "comes too late",
            )
            .also(first, "takes every request of this path")
            .help("put the route that has conditions first");
        }
        seen.insert(same, path.place);
        if methods.is_empty() && conditions.is_empty() {
            unconditional.insert(key, path.place);
        }
    }
}

fn methods(file: &RouteFile) -> Vec<String> {
    let mut methods: Vec<String> = Vec::new();
    for method in &file.methods.items {
        if !methods.contains(&method.0) {
            methods.push(method.0.clone());
        }
    }
    methods
}

fn conditions(file: &RouteFile) -> Vec<HeaderMatch> {
    let value = |condition: &Condition| match condition {
        Condition::Present => None,
        Condition::Is(value) => Some(value.0.clone()),
    };
    let matches = file.headers.0.iter();
    matches.map(|(name, c)| HeaderMatch { name: name.0.to_ascii_lowercase(), value: value(c) }).collect()
}

/// Equal for paths that match the same: whether a prefix comes before regexes makes no difference.
fn match_key(path: &PathMatch) -> String {
    match path {
        PathMatch::Exact(path) => format!("= {path}"),
        PathMatch::Prefix { path, .. } => path.clone(),
        PathMatch::Regex(pattern) => format!("~ {pattern}"),
    }
}
