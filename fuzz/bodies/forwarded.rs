//! Who the client is, against a plain reading of X-Forwarded-For; and what is told to the endpoint is one field a line.

use std::net::{IpAddr, SocketAddr};
use std::sync::LazyLock;

use tidegate::config::load::load_str;
use tidegate::config::machine::Nowhere;
use tidegate::filter::client::TrustedProxies;
use tidegate::filter::forwarded::Identity;
use tidegate::http::address::Client;
use tidegate::http::head::Fields;

static PROXIES: LazyLock<TrustedProxies> = LazyLock::new(|| {
    let toml = r#"
        trusted_proxies = ["10.0.0.0/8", "2001:db8::/32"]
        [[listener]]
        address = ":80"
        [[site]]
        [[site.route]]
        path = "/"
        reply = "a"
    "#;
    let loaded = load_str("forwarded.toml", toml, &Nowhere).unwrap_or_else(|errors| panic!("{}", errors.render(false)));
    TrustedProxies::new(&loaded.config.trusted_proxies)
});

/// Lines of fields: the first byte of each says which, the first of all whether the peer is trusted.
pub fn run(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    let proxies = &*PROXIES;
    let peers = ["10.1.2.3", "192.0.2.1", "2001:db8::1", "::ffff:10.0.0.1"];
    let peer: IpAddr = peers[usize::from(*first) % peers.len()].parse().unwrap_or(IpAddr::from([0, 0, 0, 0]));
    let mut fields = Fields::default();
    for line in rest.split(|byte| matches!(byte, b'\n' | b'\r' | 0)).filter(|line| !line.is_empty()).take(16) {
        let names: [&[u8]; 5] =
            [b"X-Forwarded-For", b"Forwarded", b"X-Forwarded-Proto", b"X-Forwarded-Host", b"X-Real-IP"];
        fields.push(names[usize::from(line[0]) % names.len()], line[1..].trim_ascii());
    }
    let client = proxies.client(Client::Ip(peer), &fields);
    let is_trusted = |address: IpAddr| proxies.is_trusted(Client::Ip(address));
    assert_eq!(client, Client::Ip(plainly(peer.to_canonical(), &fields, is_trusted)));

    let trusted = is_trusted(peer);
    let identity = Identity {
        peer: Client::Ip(peer),
        client,
        tls: false,
        host: b"a.test",
        request_id: b"0123",
        trusted,
        subject: None,
    };
    let mut out = Vec::new();
    identity.append_http1(&fields, &mut out);
    assert!(out.ends_with(b"\r\n"));
    for line in out[..out.len() - 2].split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        assert!(!line.contains(&b'\r') && line.contains(&b':'), "{}", out.escape_ascii());
    }
    let said = String::from_utf8_lossy(&out);
    let chain = said.lines().find_map(|line| line.strip_prefix("X-Forwarded-For: ")).unwrap_or_default();
    assert_eq!(chain.rsplit(", ").next(), Some(peer.to_canonical().to_string().as_str()), "{said}");
    assert!(trusted || !said.lines().any(|line| line.starts_with("Forwarded:")), "{said}");
}

/// From the right, each hop that is trusted vouches for the one before.
fn plainly(peer: IpAddr, fields: &Fields, is_trusted: impl Fn(IpAddr) -> bool) -> IpAddr {
    let lines = fields.iter().filter(|(_, name, _)| name.eq_ignore_ascii_case(b"x-forwarded-for"));
    let all: Vec<Vec<u8>> = lines.map(|(_, _, value)| value.to_vec()).collect();
    let mut hops: Vec<&[u8]> = all.iter().flat_map(|line| line.split(|byte| *byte == b',')).collect();
    let mut client = peer;
    let mut seen = 0;
    while is_trusted(client)
        && let Some(hop) = hops.pop()
        && seen < 64
    {
        seen += 1;
        let hop = std::str::from_utf8(hop.trim_ascii()).unwrap_or("?");
        if hop.is_empty() {
            continue;
        }
        let bare = hop.strip_prefix('[').and_then(|hop| hop.strip_suffix(']')).filter(|hop| hop.contains(':'));
        let address = bare.unwrap_or(hop).parse::<IpAddr>().ok();
        match address.or_else(|| hop.parse::<SocketAddr>().ok().map(|address| address.ip())) {
            Some(address) => client = address.to_canonical(),
            None => break,
        }
    }
    client
}
