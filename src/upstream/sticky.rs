//! Sticky cookies: which endpoint a client had, said so that it can neither be read nor made up.

use std::sync::LazyLock;

use aws_lc_rs::{hmac, rand};
use data_encoding::BASE64URL_NOPAD;

use crate::config::{self, Address, SameSite};

/// The first half of an HMAC-SHA256 over upstream and address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Token([u8; TOKEN]);

impl Token {
    /// `None` if a cookie's value can't be one.
    pub(super) fn parse(value: &[u8]) -> Option<Self> {
        let mut bytes = [0; TOKEN];
        if BASE64URL_NOPAD.decode_len(value.len()) != Ok(TOKEN) {
            return None;
        }
        BASE64URL_NOPAD.decode_mut(value, &mut bytes).ok().map(|_| Self(bytes))
    }
}

/// The cookie of one upstream.
pub(super) struct Sticky {
    cookie: String,
    upstream: String,
    key: hmac::Key,
    attributes: String,
    /// `None`: if the request came over TLS.
    secure: Option<bool>,
}

impl Sticky {
    /// `None` only if there is neither a secret nor randomness to make one of.
    pub(super) fn new(config: &config::Sticky, upstream: &str) -> Option<Self> {
        let secret = match &config.secret {
            Some(secret) => secret.bytes(),
            None => OWN_SECRET.as_ref()?,
        };
        let mut attributes = "; Path=/".to_owned();
        if let Some(ttl) = config.ttl {
            attributes.push_str(&format!("; Max-Age={}", ttl.as_secs().max(1)));
        }
        if config.http_only {
            attributes.push_str("; HttpOnly");
        }
        attributes.push_str(match config.same_site {
            SameSite::Strict => "; SameSite=Strict",
            SameSite::Lax => "; SameSite=Lax",
            SameSite::None => "; SameSite=None",
        });
        Some(Self {
            cookie: config.cookie.clone(),
            upstream: upstream.to_owned(),
            key: hmac::Key::new(hmac::HMAC_SHA256, secret),
            attributes,
            secure: config.secure,
        })
    }

    pub(super) fn cookie(&self) -> &str {
        &self.cookie
    }

    /// What the cookie says of an address. The upstream is part of it: two with the same endpoints have nothing in
    /// common.
    pub(super) fn token(&self, address: &Address) -> Token {
        let tag = hmac::sign(&self.key, format!("tidegate sticky 1\0{}\0{address}", self.upstream).as_bytes());
        let mut token = [0; TOKEN];
        token.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
        Token(token)
    }

    /// The value of the Set-Cookie field.
    pub(super) fn set_cookie(&self, token: Token, tls: bool) -> String {
        let value = BASE64URL_NOPAD.encode(&token.0);
        let secure = if self.secure.unwrap_or(tls) { "; Secure" } else { "" };
        format!("{}={value}{}{secure}", self.cookie, self.attributes)
    }
}

/// Of this process, for cookies without a configured secret: reloads keep it.
static OWN_SECRET: LazyLock<Option<[u8; 32]>> = LazyLock::new(|| {
    let mut secret = [0; 32];
    rand::fill(&mut secret).ok().map(|()| secret)
});

/// 128 bits can't be guessed.
const TOKEN: usize = 16;
