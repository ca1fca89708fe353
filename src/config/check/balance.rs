//! Policies and what goes with them: `hash`, `sticky`, `slow_start`, `prefer`, `subset`.

use zeroize::Zeroizing;

use super::Checker;
use crate::config::diagnostic::quote;
use crate::config::file::{ConfigFile, StickyFile, UpstreamFile};
use crate::config::model::{Endpoint, Hash, Locality, Policy, SameSite, Secret, Sticky, Subset};
use crate::config::read::At;
use crate::config::value::{MIN_SECRET, PolicyName};

impl Checker<'_> {
    /// The policy with what it goes by.
    pub(super) fn policy(&mut self, name: &At<String>, file: &UpstreamFile) -> Policy {
        if let Some(hash) = file.hash.as_ref().filter(|_| *file.policy != PolicyName::Hash) {
            self.error(
                format!("upstream {} has a key to hash, but another policy", quote(name)),
                hash.place,
                "only for policy = \"hash\"",
            )
            .help("write `policy = \"hash\"`, or take `hash` out");
        }
        if let (Some(slow_start), PolicyName::Hash | PolicyName::IpHash | PolicyName::Random) =
            (&file.slow_start, *file.policy)
        {
            self.warn("`slow_start` changes nothing with this policy", slow_start.place, "").help(
                "it goes with \"least_conn\", \"round_robin\" and \"least_time\"; the others choose without regard to it",
            );
        }
        match *file.policy {
            PolicyName::LeastConn => Policy::LeastConn,
            PolicyName::RoundRobin => Policy::RoundRobin,
            PolicyName::Random => Policy::Random,
            PolicyName::LeastTime => Policy::LeastTime,
            PolicyName::IpHash => Policy::IpHash,
            PolicyName::Hash => match &file.hash {
                Some(hash) => hash.key.as_ref().map_or(Policy::LeastConn, |key| {
                    let balance_factor = hash.balance_factor.as_ref().map(|factor| factor.0);
                    Policy::Hash(Hash { key: key.value.clone(), balance_factor })
                }),
                None => {
                    let title = format!("upstream {} has nothing to hash", quote(name));
                    self.error(title, file.policy.place, "needs a key").help("write `hash = \"client_ip\"`");
                    Policy::LeastConn
                }
            },
        }
    }

    pub(super) fn sticky(&mut self, name: &At<String>, file: Option<&At<StickyFile>>) -> Option<Sticky> {
        let file = file?;
        let secret = self.secret(name, file);
        let secure = file.secure.as_ref().map(|secure| secure.0);
        let same_site = file.samesite.value;
        if let (SameSite::None, Some(false), Some(at)) = (same_site, secure, &file.secure) {
            self.error("browsers refuse this cookie", at.place, "SameSite=None needs Secure")
                .also(file.samesite.place, "because of this")
                .help("leave `secure` out, or write `samesite = \"lax\"`");
        }
        let cookie = file.cookie.as_ref()?;
        if let (true, Some(false), Some(at)) = (cookie.0.starts_with("__"), secure, &file.secure) {
            self.error("browsers refuse this cookie", at.place, "a name with this prefix needs Secure")
                .also(cookie.place, "the prefix");
        }
        Some(Sticky {
            cookie: cookie.0.clone(),
            secret,
            ttl: file.ttl.as_ref().map(|ttl| ttl.0),
            // Either would be refused without it.
            secure: secure.or((same_site == SameSite::None || cookie.0.starts_with("__")).then_some(true)),
            http_only: file.httponly.0,
            same_site,
        })
    }

    /// The secret from the file or beside it. No complaint quotes it.
    fn secret(&mut self, name: &At<String>, sticky: &At<StickyFile>) -> Option<Secret> {
        match (&sticky.secret, &sticky.secret_file) {
            (Some(secret), None) => Some(Secret::new(secret.0.as_bytes())),
            (None, None) => {
                if !sticky.wrong {
                    let title = format!("the sticky cookies of upstream {} don't outlive the process", quote(name));
                    self.warn(title, sticky.place, "without a secret").help(
                        "each process makes up its own, which a restart forgets and other instances don't know: \
                         write `secret` or `secret_file`",
                    );
                }
                None
            }
            (Some(secret), Some(file)) => {
                self.error("there are two secrets", file.place, "and here")
                    .also(secret.place, "here")
                    .help("keep `secret` or `secret_file`");
                None
            }
            (None, Some(file)) => {
                let path = self.resolve(&file.0, file.place);
                let shown = quote(&path.to_string_lossy());
                match (self.outside.read_body)(&path).map(Zeroizing::new) {
                    Ok(bytes) if bytes.trim_ascii().len() < MIN_SECRET => {
                        let label = format!("at least {MIN_SECRET} bytes");
                        self.error(format!("the secret in {shown} is too short"), file.place, label)
                            .help("make one with `openssl rand -hex 32`");
                        None
                    }
                    Ok(bytes) => Some(Secret::new(bytes.trim_ascii())),
                    Err(why) => {
                        self.error(format!("can't read {shown}"), file.place, why);
                        None
                    }
                }
            }
        }
    }

    pub(super) fn locality(
        &mut self,
        config: &ConfigFile,
        file: &UpstreamFile,
        endpoints: &[Endpoint],
    ) -> Option<Locality> {
        let zoned = file.endpoints.as_ref().and_then(|many| many.items.iter().find_map(|e| e.zone.as_ref()));
        let Some(prefer) = &file.prefer else {
            if let Some(zone) = zoned {
                self.warn("this zone changes nothing", zone.place, "")
                    .help("write `prefer = \"same-zone\"` in the upstream");
            }
            return None;
        };
        let Some(zone) = &config.zone else {
            self.error("Tidegate's own zone is not known", prefer.place, "needs it")
                .help("write `zone = \"…\"` above the first [table], such as `zone = \"${ZONE}\"`");
            return None;
        };
        let all_known = file.endpoints_file.is_none();
        if all_known
            && !endpoints.is_empty()
            && !endpoints.iter().any(|e| e.zone.as_deref() == Some(&zone.0) && !e.backup)
        {
            self.warn(format!("no primary endpoint is in zone {}", quote(&zone.0)), prefer.place, "changes nothing")
                .also(zone.place, "Tidegate's own");
        }
        Some(Locality { zone: zone.0.clone(), min_local: file.min_local.0 })
    }
}

/// How many endpoints one instance uses.
pub(super) fn subset(config: &ConfigFile, file: &UpstreamFile) -> Option<Subset> {
    let size = file.subset.as_ref()?.size();
    Some(Subset { size, instance: config.instance.as_ref().map(|instance| instance.0.clone()) })
}
