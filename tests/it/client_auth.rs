//! Certificates of clients: who is let in, and what the upstream is told of them.

use std::fs;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType, IsCa, KeyIdMethod,
    KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};

use crate::support::{Certificate, Client, Gate, H2Client, Origin, Setup, Tls, eventually, get, refusing_address};

/// An authority for clients.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A client's chain and key, as PEM.
    fn issue(&self, name: &str, serial: u64, until: i32) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Räder, Inc.");
        params.distinguished_name.push(DnType::CommonName, name);
        params.serial_number = Some(SerialNumber::from(serial));
        params.not_after = date_time_ymd(until, 1, 1);
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn revoke(&self, serials: &[u64]) -> String {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2026, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2026, 1, 1),
            next_update: date_time_ymd(2096, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.0).unwrap().pem().unwrap()
    }
}

/// A gate that asks for certificates of `authority`, in front of an origin.
struct Asking {
    origin: Origin,
    gate: Gate,
    server: Certificate,
    setup: Setup,
}

fn asking(authority: &Authority, more: &str) -> Asking {
    let origin = Origin::named("a");
    let directory = tempfile::TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("clients.pem"), authority.0.pem()).unwrap();
    fs::write(path("revoked.pem"), authority.revoke(&[7])).unwrap();
    let server = Certificate::make(directory.path(), "test", &["test"]);
    let more = more.replace("revoked.pem", &path("revoked.pem").display().to_string());
    let tls = format!("tls.client_auth = {{ ca = {:?}, subject_header = \"X-Subject\"{more} }}", path("clients.pem"));
    let setup = Setup::to(&[origin.address()])
        .listener(&tls)
        .and("[[listener]]\naddress = \"127.0.0.6:0\"")
        .site(&format!("certificate = {}", server.toml()));
    let toml = setup.toml(directory.path());
    Asking { origin, gate: Gate::start_in(directory, &toml), server, setup }
}

impl Asking {
    fn tls(&self) -> Tls {
        Tls::new(&[&self.server], "test")
    }

    /// The status of a request, or `None` if the connection came to nothing.
    fn status(&self, tls: &Tls) -> Option<u16> {
        // In TLS 1.3 a client learns of its refusal after the handshake.
        let mut client = Client::try_tls(self.gate.address(), tls).ok()?;
        client.try_send(get("/"));
        client.try_response("GET").ok().map(|response| response.status)
    }

    fn unbelieved(&self) -> f64 {
        self.gate.metric("tidegate_tls_handshake_failures_total{reason=\"client_auth\"}")
    }
}

#[test]
fn only_clients_with_a_certificate_of_the_authority_are_let_in() {
    let authority = Authority::new("Clients");
    let asking = asking(&authority, "");
    assert_eq!(asking.status(&asking.tls().showing(&authority.issue("ann", 1, 2090))), Some(200));
    assert_eq!(asking.unbelieved(), 0.0);
    let refused = [
        asking.tls(),
        asking.tls().showing(&Authority::new("Clients").issue("ann", 1, 2090)),
        asking.tls().showing(&authority.issue("old", 2, 2020)),
    ];
    for (count, tls) in (1..).zip(&refused) {
        assert_eq!(asking.status(tls), None, "{count}");
        eventually("it is counted", || asking.unbelieved() == f64::from(count));
    }
    assert_eq!(asking.origin.count(), 1);
}

#[test]
fn a_certificate_may_be_optional_but_never_wrong() {
    let authority = Authority::new("Clients");
    let asking = asking(&authority, ", required = false");
    assert_eq!(asking.status(&asking.tls()), Some(200));
    assert_eq!(asking.origin.last().field("x-subject"), None);
    assert_eq!(asking.status(&asking.tls().showing(&authority.issue("ann", 1, 2090))), Some(200));
    assert!(asking.origin.last().has("x-subject"));
    assert_eq!(asking.status(&asking.tls().showing(&Authority::new("Others").issue("eve", 1, 2090))), None);
}

#[test]
fn what_the_authority_has_revoked_is_refused() {
    let authority = Authority::new("Clients");
    let asking = asking(&authority, ", crl = \"revoked.pem\"");
    assert_eq!(asking.status(&asking.tls().showing(&authority.issue("ann", 6, 2090))), Some(200));
    assert_eq!(asking.status(&asking.tls().showing(&authority.issue("bob", 7, 2090))), None);
}

#[test]
fn the_upstream_is_told_the_subject_and_no_client_can_say_it_itself() {
    const TOLD: &str = "CN=ann,O=R\\C3\\A4der\\, Inc.";
    let authority = Authority::new("Clients");
    let asking = asking(&authority, "");
    let tls = asking.tls().showing(&authority.issue("ann", 1, 2090));
    let forged = "GET / HTTP/1.1\r\nHost: test\r\nX-Subject: CN=root\r\nx-subject: CN=root\r\n\r\n";
    assert_eq!(Client::tls(asking.gate.address(), &tls).send(forged).response("GET").status, 200);
    assert_eq!(asking.origin.last().all("x-subject"), [TOLD]);

    let mut h2 = H2Client::connect(asking.gate.address(), Some(&tls.offering("h2")));
    let head = http::Request::get("https://test/").header("x-subject", "CN=root").body(()).unwrap();
    let (response, _) = h2.open(head, true).unwrap();
    assert_eq!(h2.read(response).unwrap().status, 200);
    assert_eq!(asking.origin.last().all("x-subject"), [TOLD]);

    let plain = Client::connect(asking.gate.listener(1)).send(forged).response("GET");
    assert_eq!((plain.status, asking.origin.last().all("x-subject")), (200, Vec::new()));
    let records = asking.gate.records(3);
    assert_eq!(records.iter().filter(|record| record["tls_client"] == TOLD).count(), 2, "{records:?}");
}

#[test]
fn a_ticket_is_good_only_where_the_same_ca_are_believed() {
    let authority = Authority::new("Clients");
    let asking = asking(&authority, "");
    let tls = asking.tls().showing(&authority.issue("ann", 1, 2090));
    let resumed = || {
        let mut client = Client::tls(asking.gate.address(), &tls);
        client.send(get("/"));
        client.try_response("GET").ok().map(|_| client.resumed)
    };
    assert_eq!([resumed(), resumed()], [Some(false), Some(true)]);
    assert_eq!(asking.gate.records(2)[1]["tls_client"], asking.gate.records(2)[0]["tls_client"]);
    // The authority is replaced: neither the certificate nor the ticket that it got counts any more.
    fs::write(asking.gate.directory().join("clients.pem"), Authority::new("Others").0.pem()).unwrap();
    asking.gate.reload(&asking.setup);
    assert_eq!(resumed(), None);
}

#[test]
fn a_reload_that_fails_leaves_the_ticket_keys_as_they_were() {
    let directory = tempfile::TempDir::new().unwrap();
    let certificate = Certificate::make(directory.path(), "test", &["test"]);
    let path = |name: &str| directory.path().join(name);
    fs::write(path("old"), [1; 80]).unwrap();
    fs::write(path("new"), [2; 80]).unwrap();
    let with = |key: &str, more: &str| {
        let setup = Setup::to(&[refusing_address(1)]).listener("tls = true");
        let site = format!(
            "[[site]]\nhosts = \"test\"\ncertificate = {}\n[[site.route]]\npath = \"/\"\nreply = \"x\"\n{more}",
            certificate.toml()
        );
        setup.top(&format!("ticket_keys = {:?}", path(key))).sites(&site)
    };
    let gate = with("old", "").start();
    let tls = Tls::new(&[&certificate], "test");
    let resumed = || {
        let mut client = Client::tls(gate.address(), &tls);
        assert_eq!(client.send(get("/")).response("GET").status, 200);
        client.resumed
    };
    assert_eq!([resumed(), resumed()], [false, true]);
    // The last thing that can fail: the store isn't a directory.
    let acme = format!(
        "[acme]\nagree_terms = true\nstore = {:?}\n[[listener]]\naddress = \"127.0.0.7:0\"\n\
         [[site]]\nhosts = \"got.test\"\ncertificate = \"acme\"\n[[site.route]]\npath = \"/\"\nreply = \"x\"\n",
        path("old")
    );
    assert!(gate.try_reload(&with("new", &acme)).unwrap_err().contains("certificate store"));
    assert!(resumed());
    gate.reload(&with("new", ""));
    assert!(!resumed());
}

#[test]
fn instances_with_the_same_ticket_keys_take_each_others_tickets() {
    let directory = tempfile::TempDir::new().unwrap();
    let certificate = Certificate::make(directory.path(), "test", &["test"]);
    let key = |name: &str, byte: u8| {
        let path = directory.path().join(name);
        fs::write(&path, [byte; 80]).unwrap();
        format!("{path:?}")
    };
    let (old, new) = (key("old", 1), key("new", 2));
    let start = |keys: &str| {
        let setup = Setup::to(&[refusing_address(1)]).listener("tls = true").top(&format!("ticket_keys = [{keys}]"));
        let site = format!(
            "[[site]]\nhosts = \"test\"\ncertificate = {}\n[[site.route]]\npath = \"/\"\nreply = \"x\"\n",
            certificate.toml()
        );
        setup.sites(&site).start()
    };
    let gates = [start(&old), start(&old), start(&format!("{new}, {old}")), start(&new)];
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let tls = Tls::with(&[&certificate], "test", &[], &[version]);
        let resumed = |gate: &Gate| {
            let mut client = Client::tls(gate.address(), &tls);
            assert_eq!(client.send(get("/")).response("GET").status, 200);
            client.resumed
        };
        // The third one takes the old key's tickets and gives those of the new one, which the first doesn't know.
        assert_eq!([0, 1, 2, 3, 0].map(|gate| resumed(&gates[gate])), [false, true, true, true, false], "{version:?}");
    }
}
