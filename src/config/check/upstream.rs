//! `[upstream.NAME]` → [`Upstream`].

use std::num::NonZeroU32;

use super::Checker;
use super::balance::subset;
use crate::config::diagnostic::quote;
use crate::config::file::{ConfigFile, RetryFile, TimeoutsFile, UpstreamFile};
use crate::config::model::{Ejection, Endpoint, Retry, RetryBudget, RetryOn, Upstream, UpstreamTimeouts};
use crate::config::read::{At, Many};
use crate::config::value::RetryCause;

impl Checker<'_> {
    pub(super) fn upstreams(&mut self, config: &ConfigFile) -> Vec<Upstream> {
        let mut checked = Vec::with_capacity(config.upstream.0.len());
        for (name, file) in &config.upstream.0 {
            let Some(file) = file else { continue };
            let endpoints = self.endpoints(name, file);
            let bind = self.bind_from(file.bind.as_ref(), file.endpoints.as_ref());
            checked.push(Upstream {
                name: name.as_str().into(),
                policy: self.policy(name, file),
                slow_start: file.slow_start.as_ref().map(|time| time.0),
                sticky: self.sticky(name, file.sticky.as_ref()),
                locality: self.locality(config, file, &endpoints),
                subset: subset(config, file),
                endpoints,
                endpoints_file: file.endpoints_file.as_ref().map(|path| self.resolve(&path.0, path.place)),
                max_endpoints: file.max_endpoints.size(),
                ejection: Ejection {
                    max_fails: file.max_fails.0,
                    fail_timeout: file.fail_timeout.0,
                    min_available: file.min_available.0,
                },
                retry: self.retry(file.retry.0.as_ref()),
                timeouts: timeouts(&file.timeouts),
                protocol: self.upstream_protocol(file),
                tls: self.upstream_tls(name, file),
                idle_connections: file.idle_connections.size(),
                splice: file.splice.0,
                bind,
                tcp: self.tcp_options(&file.tcp_keepalive, file.tcp_user_timeout.as_ref()),
                proxy_protocol: file.proxy_protocol.as_ref().map(|version| version.0),
                host: file.host.0.clone(),
                max_head_bytes: self.buffer(&file.max_head_size, 1 << 10, 1 << 20),
                max_fields: file.max_fields.size(),
            });
        }
        checked
    }

    fn endpoints(&mut self, upstream: &At<String>, file: &UpstreamFile) -> Vec<Endpoint> {
        let name = quote(upstream);
        let Some(files) = &file.endpoints else {
            if file.endpoints_file.is_none() {
                self.error(format!("upstream {name} has no endpoint"), upstream.place, "they belong here")
                    .help("write `endpoints = [\"host:port\"]`, or `endpoints_file` for a file that lists them");
            }
            return Vec::new();
        };
        let endpoints = self.endpoint_list(files);
        if file.endpoints_file.is_some() {
            // What else there is, the file says.
        } else if files.items.is_empty() {
            if files.complete {
                self.error(format!("upstream {name} has no endpoint"), files.place, "empty")
                    .help("write `endpoints = [\"host:port\"]`");
            }
        } else if endpoints.is_empty() || !files.complete {
            // Those that were meant to be here have their complaints.
        } else if endpoints.iter().all(|e| e.down) {
            self.warn(format!("every endpoint of upstream {name} is down"), files.place, "all requests get a 502");
        } else if endpoints.iter().all(|e| e.backup || e.down) {
            self.warn(format!("upstream {name} has only backup endpoints"), files.place, "no primary one is left")
                .help("leave `backup` out: without a primary endpoint it changes nothing");
        }
        endpoints
    }

    fn retry(&mut self, file: Option<&RetryFile>) -> Retry {
        let Some(file) = file else {
            // Failures go on counting towards ejection, as with nginx's `proxy_next_upstream off`.
            return Retry { tries: Some(NonZeroU32::MIN), ..Retry::default() };
        };
        Retry {
            on: retry_on(&file.on),
            tries: file.tries.as_ref().and_then(|n| n.non_zero()),
            timeout: file.timeout.0.map(|t| t.0),
            budget: file
                .budget
                .0
                .map(|ratio| RetryBudget { ratio: ratio.0, min_per_second: file.budget_min_per_second.0 }),
            max_replay_bytes: self.buffer(&file.max_replay_size, 0, 16 << 20),
        }
    }
}

fn retry_on(causes: &Many<RetryCause>) -> RetryOn {
    let mut on = RetryOn { error: false, timeout: false, ..RetryOn::default() };
    for cause in &causes.items {
        match cause.value {
            RetryCause::Error => on.error = true,
            RetryCause::Timeout => on.timeout = true,
            RetryCause::InvalidHeader => on.invalid_header = true,
            RetryCause::NonIdempotent => on.non_idempotent = true,
            RetryCause::Status(status) if on.statuses.contains(&status) => {}
            RetryCause::Status(status) => on.statuses.push(status),
        }
    }
    on
}

fn timeouts(file: &TimeoutsFile) -> UpstreamTimeouts {
    UpstreamTimeouts {
        connect: file.connect.0,
        response: file.response.0,
        between_bytes: file.between_bytes.0,
        idle: file.idle.0,
        tunnel_idle: file.tunnel_idle.0,
    }
}
