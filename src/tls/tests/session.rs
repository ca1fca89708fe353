use super::*;
use crate::metrics;

fn one_site(settings: &Tls) -> Arc<ServerConfig> {
    serving(vec![site("a", vec![exact("a.test")], vec![ecdsa(&["a.test"])])], settings)
}

#[test]
fn both_versions_are_spoken_and_told() {
    let server = one_site(&DEFAULTS);
    for (version, told) in
        [(&version::TLS12, metrics::TlsVersion::Tls12), (&version::TLS13, metrics::TlsVersion::Tls13)]
    {
        let handshake = Client::new(&[version], &[ECDSA]).connect("a.test", &server).unwrap().handshake;
        assert_eq!((handshake.version, handshake.resumed, handshake.http2), (told, false, true));
        assert_eq!(handshake.server_name.as_deref(), Some("a.test"));
    }
}

#[test]
fn a_minimum_of_1_3_refuses_1_2() {
    let server = one_site(&Tls { min_version: TlsVersion::Tls13, ..Tls::default() });
    assert!(Client::new(&[&version::TLS12], &[ECDSA]).connect("a.test", &server).is_err());
    assert!(Client::modern().connect("a.test", &server).is_ok());
}

#[test]
fn a_client_of_tls_1_1_is_told_that_its_version_is_too_old() {
    let mut hello = vec![0x03, 0x02];
    hello.extend([7; 32]);
    // No session; ECDHE-ECDSA-AES128-SHA; no compression; groups, points and signatures as extensions.
    hello.extend([0, 0, 2, 0xc0, 0x09, 1, 0]);
    let extensions = [&[0, 10, 0, 4, 0, 2, 0, 23][..], &[0, 11, 0, 2, 1, 0], &[0, 13, 0, 4, 0, 2, 4, 3]].concat();
    hello.extend([0, extensions.len() as u8]);
    hello.extend(extensions);
    let mut wire = vec![22, 3, 1, 0, hello.len() as u8 + 4, 1, 0, 0, hello.len() as u8];
    wire.extend(hello);

    let mut server = ServerConnection::new(one_site(&DEFAULTS)).unwrap();
    assert!(matches!(feed(&mut server, &wire), Err(rustls::Error::PeerIncompatible(_))));
    let mut alert = Vec::new();
    server.write_tls(&mut alert).unwrap();
    // A fatal alert (2), protocol_version (70).
    assert_eq!(alert[5..], [2, 70]);
}

#[test]
fn http2_is_offered_unless_the_listener_says_no() {
    for http2 in [true, false] {
        let met = Client::modern().connect("a.test", &one_site(&Tls { http2, ..Tls::default() })).unwrap();
        assert_eq!((met.handshake.http2, met.http2_at_client), (http2, http2));
    }
}

#[test]
fn a_ticket_of_one_worker_is_good_at_another() {
    let store = Store::new();
    store.replace(vec![site("a", vec![exact("a.test")], vec![ecdsa(&["a.test"])])]);
    let tickets = Tickets::new(&[]).unwrap();
    let worker = || server_config(&DEFAULTS, Arc::clone(&store), &tickets).unwrap();
    for version in [&version::TLS12, &version::TLS13] {
        let client = Client::new(&[version], &[ECDSA]);
        let resumed: Vec<_> = (0..3).map(|_| client.connect("a.test", &worker()).unwrap().handshake.resumed).collect();
        assert_eq!(resumed, [false, true, true], "{version:?}");
    }
}

#[test]
fn a_ticket_of_another_process_is_a_full_handshake_and_no_error() {
    let client = Client::modern();
    for _ in 0..2 {
        assert!(!client.connect("a.test", &one_site(&DEFAULTS)).unwrap().handshake.resumed);
    }
}
