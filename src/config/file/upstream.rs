//! `[upstream.NAME]`

use super::KeepAliveFile;
use crate::config::model::{HashKey, SameSite, TlsVersion};
use crate::config::read::{Many, Switch};
use crate::config::table::table;
use crate::config::value::{
    ByteSize, CookieName, EndpointAddress, Factor, FilePath, Flag, HostHeader, Name, Number, OffOr, PolicyName,
    Preference, ProtocolName, ProxyVersion, RetryCause, SecretText, ServerNameText, ServiceName, Share, SourceAddress,
    Timeout,
};

table! {
    /// A named group of endpoints. What it counts (requests in flight, failures) is exact over all workers.
    ///
    /// ```toml
    /// [upstream.backend]
    /// policy = "least_conn"
    /// max_fails = 3
    /// fail_timeout = "30s"
    /// endpoints = ["backend-1:8052", { address = "backend-2:8052", weight = 2 }]
    /// ```
    pub(crate) struct UpstreamFile {
        /// Where requests can go. A name that resolves to several addresses is several endpoints; one that doesn't resolve
        /// is tried again.
        endpoints: Many<EndpointFile>,
        /// A file that lists further endpoints, as `endpoints = […]` does here: addresses or Unix sockets, alone or in
        /// tables, and no names.
        /// It is read again within a second of each change. While it can't be read, or isn't whole, what it last listed
        /// stays in use; so it does when the list is empty.
        endpoints_file: FilePath,
        /// Endpoints at most from `endpoints_file` and from names with `resolve` or `service`, in the order of the
        /// configuration. More are left out, with a warning.
        max_endpoints: Number<1, 10_000> = 1000,
        /// `"least_conn"`: the one with the fewest requests in flight for its weight, in turn among equals.
        /// `"round_robin"`: all in turn, by weight. `"random"`: of two drawn by weight, the one with fewer in flight.
        /// `"least_time"`: the one that answers soonest, by its response times of late and its requests in flight.
        /// `"hash"`: the same one for the same `hash.key`. `"ip_hash"`: the same one for the same network of clients
        /// (IPv4: the /24).
        policy: PolicyName = "least_conn",
        /// What the policy `"hash"` goes by: a key, or a table.
        hash: HashFile,
        /// A cookie that leads a client back to the endpoint that it had, before the policy is asked: the cookie's name,
        /// or a table.
        sticky: StickyFile,
        /// How long an endpoint's part of the requests grows before it is whole: after its return from an ejection, or
        /// when a reload or name resolution adds it. Without effect on `"hash"`, `"ip_hash"` and `"random"`, as in nginx.
        slow_start: Timeout,
        /// `"same-zone"`: requests stay with the endpoints whose `zone` is Tidegate's own, the top-level `zone`.
        prefer: Preference,
        /// With `prefer`: all zones are used when fewer than this share of the zone's endpoints can be.
        min_local: Share = "50%",
        /// For many endpoints behind many instances of Tidegate: use only so many of the primary ones, chosen by the
        /// top-level `instance` so that all instances together use each about equally often. One endpoint that joins or
        /// leaves changes a subset by two at most. Backups are always used; the other primary ones never are, so keep the
        /// subset large enough that some of it works.
        subset: Number<1, 65_535>,
        /// Failures after which an endpoint gets no requests for `fail_timeout`. 0 is never.
        max_fails: Number<0, 1_000_000> = 1,
        /// How long an endpoint stays ejected; then one request tries it. Earlier failures are forgotten when a request
        /// succeeds this long after the last one.
        fail_timeout: Timeout = "10s",
        /// No endpoint is ejected if fewer than this share of the primary ones would be left. 0 is nginx's way.
        min_available: Share = "50%",
        /// When another endpoint is tried: `false` for never, or a table.
        retry: Switch<RetryFile> = true,
        /// Deadlines.
        timeouts: TimeoutsFile = {},
        /// `"http/1.1"`; `"h2"`: HTTP/2 over TLS, which has to be on; `"h2c"`: HTTP/2 in plain text, without asking first. gRPC
        /// needs one of the latter. Upgrades (WebSocket) pass over HTTP/1.1 only: else 502.
        protocol: ProtocolName = "http/1.1",
        /// With `"h2"` and `"h2c"`: how its connections are used.
        http2: UpstreamHttp2File,
        /// TLS towards the endpoints: `true`, or a table. Their certificates are verified.
        tls: Switch<UpstreamTlsFile> = false,
        /// Idle connections that each worker keeps to each endpoint.
        idle_connections: Number<0, 65_535> = 256,
        /// Passes long plain bodies from socket to socket without copying them through the process (Linux `splice`): a third
        /// less of Tidegate's CPU for them. Where clients or endpoints run on the same machine, they pay more than that.
        splice: Flag = false,
        /// Where connections to the endpoints come from: an address of this machine; with endpoints of both families, one
        /// of each. Without it the system chooses.
        bind: Many<SourceAddress>,
        /// `"v1"` or `"v2"`: each connection begins with a PROXY header that names the client it was made for: the
        /// connection's own address, not what `X-Forwarded-For` says. So no two clients share a connection; a client's
        /// own requests do.
        proxy_protocol: ProxyVersion,
        /// Probes on silent connections: `true`, or a table.
        tcp_keepalive: Switch<KeepAliveFile> = false,
        /// A connection ends when what was sent over it stays unacknowledged for this long (`TCP_USER_TIMEOUT`). Without
        /// it: some 15 minutes, by the system's retries.
        tcp_user_timeout: Timeout,
        /// What `Host` says to the endpoint: `"request"` the host asked for in lower case and without its port,
        /// `"endpoint"` the endpoint's address (`localhost` for a Unix socket, as in nginx), else this text.
        host: HostHeader = "request",
        /// Status line and header of a response together: else 502.
        max_head_size: ByteSize = "32k",
        /// Header fields of a response: else 502.
        max_fields: Number<1, 1000> = 100,
    }
}

table! {
    /// One address of an upstream: the address alone, or a table.
    ///
    /// ```toml
    /// [[upstream.backend.endpoints]]
    /// address = "10.0.0.1:8080"
    /// weight = 3
    /// max_conns = 100
    ///
    /// [[upstream.backend.endpoints]]
    /// address = "10.0.9.1:8080"
    /// backup = true
    /// ```
    pub(crate) struct EndpointFile shorthand address {
        /// Host and port; without a port, 80. Or the path of a Unix socket: `"unix:/run/app.sock"`.
        address: EndpointAddress = required,
        /// Its part of the requests, in proportion to the others'.
        weight: Number<1, 65_535> = 1,
        /// Requests in flight at once, over all workers. Without it there is no cap.
        max_conns: Number<1, 1_000_000>,
        /// Used only if no primary endpoint can be.
        backup: Flag = false,
        /// Never used: taken out by hand.
        down: Flag = false,
        /// Where it stands, for the upstream's `prefer`.
        zone: Name,
        /// Looks the name up again when its TTL is over, as nginx's `resolve`: each address of the answer is an endpoint,
        /// which comes and goes with it. While there is no answer, or an empty one, the last good one stays in use.
        resolve: Flag = false,
        /// Takes the endpoints from SRV records: `"http"` asks for `_http._tcp.NAME`, and with a dot in it,
        /// `"_http._tcp.app"` for `_http._tcp.app.NAME`. They say port and weight; those of the lowest number in priority
        /// serve, the others are backups. As nginx's `service`; it implies `resolve`.
        service: ServiceName,
    }
}

table! {
    /// Consistent hashing: the key alone, or a table. Endpoints have 160 points on a ring for each unit of weight, where
    /// nginx's `hash … consistent` has them, so that one endpoint more or less moves only its own part of the keys. What can't be used passes its keys on to the next on the ring. A request without the key goes by
    /// `"least_conn"`.
    ///
    /// ```toml
    /// [upstream.backend]
    /// policy = "hash"
    /// hash = { key = "header:X-Tenant", balance_factor = 1.25 }
    /// endpoints = ["10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.3:8080"]
    /// ```
    pub(crate) struct HashFile shorthand key {
        /// `"client_ip"`, `"path"` (as sent, without the query), `"uri"` (with it), `"header:NAME"` or `"cookie:NAME"`.
        key: HashKey = required,
        /// Bounded load: an endpoint with this many times the average of requests in flight for its weight passes further
        /// ones on to the next, so that a popular key can't drown its endpoint. Without it there is no bound.
        balance_factor: Factor,
    }
}

table! {
    /// A sticky cookie: its name alone, or a table. Its value is a keyed digest (HMAC-SHA256) of the endpoint's address:
    /// clients can neither read it nor make one up. A value that is none, or whose endpoint can't be used, is ignored:
    /// the policy chooses, and the response sets the cookie anew. It is not set if it stays the same.
    ///
    /// ```toml
    /// [upstream.backend.sticky]
    /// cookie = "route"
    /// secret_file = "/run/secrets/sticky"
    /// ttl = "1h"
    /// ```
    pub(crate) struct StickyFile shorthand cookie {
        /// The cookie's name.
        cookie: CookieName = required,
        /// The key of the digest, at least 16 bytes; the same on all instances that serve the same clients. Without it or
        /// `secret_file` each process makes up its own, and its cookies end with it.
        secret: SecretText,
        /// A file that holds the secret; white space around it doesn't count.
        secret_file: FilePath,
        /// The cookie's `Max-Age`, from when it was set. Without it the cookie ends with the browser's session.
        ttl: Timeout,
        /// The cookie's `Secure`. Without it: if the request came over TLS.
        secure: Flag,
        /// The cookie's `HttpOnly`.
        httponly: Flag = true,
        /// The cookie's `SameSite`.
        samesite: SameSite = "lax",
    }
}

table! {
    /// TLS towards the endpoints, 1.2 and 1.3. Each certificate has to lead to a trusted authority and to name the endpoint:
    /// else the attempt fails like a refused connection. Sessions are resumed. Files are read at the start and at each
    /// reload. nginx verifies nothing unless `proxy_ssl_verify` is on, and names no host unless `proxy_ssl_server_name` is.
    ///
    /// ```toml
    /// [upstream.backend.tls]
    /// ca = "/etc/tidegate/backend-ca.pem"
    /// server_name = "backend.internal"
    /// certificate = { chain = "/etc/tidegate/client.pem", key = "/etc/tidegate/client.key" }
    /// ```
    pub(crate) struct UpstreamTlsFile {
        /// The authorities that are believed, as PEM. Without it: the system's.
        ca: FilePath,
        /// The host that the handshake asks for (SNI) and that the certificate has to name. Without it: the host of each
        /// endpoint's address; with `resolve` or `service` that name, whatever DNS leads to. For an IP address none is
        /// asked for, and the certificate has to name the address.
        server_name: ServerNameText,
        /// What Tidegate shows to endpoints that ask who it is.
        certificate: ClientCertificateFile,
        /// `false` takes any certificate of anyone: whoever is on the way can then read and change everything.
        verify: Flag = true,
        /// The oldest version that is spoken.
        min_version: TlsVersion = "1.2",
    }
}

table! {
    /// HTTP/2 towards the endpoints. Each worker keeps a connection to an endpoint for many requests at once, and opens
    /// another only when all it has are full. `timeouts.idle` and `idle_connections` hold for them, too.
    ///
    /// ```toml
    /// [upstream.grpc]
    /// protocol = "h2c"
    /// endpoints = "grpc-1:50051"
    /// http2 = { max_streams = 50, max_lifetime = "10m" }
    /// ```
    pub(crate) struct UpstreamHttp2File {
        /// Requests at once over one connection, if the endpoint allows as many.
        max_streams: Number<1, 65_535> = 100,
        /// A connection takes no new request after this time, so that new endpoints behind one address get their share;
        /// `"off"` is no bound.
        max_lifetime: OffOr<Timeout> = "1h",
        /// With requests in flight: a PING after so long without a byte from the endpoint. gRPC servers take more than one
        /// in five minutes for abuse. A PING is sent anyway when a request times out, and no other is sent over the
        /// connection until it is answered.
        ping_interval: OffOr<Timeout> = "off",
        /// A PING not answered by then ends the connection, and the requests on it.
        ping_timeout: Timeout = "10s",
    }
}

table! {
    /// A client certificate and its key, as PEM files.
    ///
    /// ```toml
    /// [upstream.backend.tls.certificate]
    /// chain = "/etc/tidegate/client.pem"
    /// key = "/etc/tidegate/client.key"
    /// ```
    pub(crate) struct ClientCertificateFile {
        /// The certificate, then those that lead to the root.
        chain: FilePath = required,
        /// The private key.
        key: FilePath = required,
    }
}

table! {
    /// When a request is tried on another endpoint. A refused connection is always retried, since nothing was sent.
    /// Never after a byte of the response went to the client.
    ///
    /// ```toml
    /// [upstream.backend.retry]
    /// on = ["error", "timeout", "http_503"]
    /// tries = 2
    /// timeout = "10s"
    /// budget = "10%"
    /// ```
    pub(crate) struct RetryFile {
        /// nginx's `proxy_next_upstream`. `error`: the connection broke; `timeout`: no response in time; `invalid_header`:
        /// not HTTP; `http_…`: this status; `non_idempotent`: POST, LOCK and PATCH too, although they may then be done
        /// twice. Failures listed here count towards ejection.
        on: Many<RetryCause> = ["error", "timeout"],
        /// Attempts in all, the first one included. Without it: as many as there are endpoints.
        tries: Number<1, 1000>,
        /// No retry begins after this time; `"off"` is no bound.
        timeout: OffOr<Timeout> = "60s",
        /// Retries may be this share of all requests, so that they can't multiply an outage; `"off"` is no bound.
        budget: OffOr<Share> = "20%",
        /// Retries a second that the budget always grants.
        budget_min_per_second: Number<0, 1_000_000> = 3,
        /// A request body up to this size is kept, to be sent again; with a larger one there is no retry.
        max_replay_size: ByteSize = "64k",
    }
}

table! {
    /// Deadlines towards the endpoints.
    ///
    /// ```toml
    /// [upstream.backend.timeouts]
    /// connect = "1s"
    /// response = "5m"
    /// ```
    pub(crate) struct TimeoutsFile {
        /// To connect, the TLS handshake included.
        connect: Timeout = "5s",
        /// From the request sent to the end of the response's head: else 504.
        response: Timeout = "60s",
        /// Between two pieces of the response's body, or two of the request's.
        between_bytes: Timeout = "60s",
        /// An idle connection is closed after this. Keep it below the backend's own idle time.
        idle: Timeout = "60s",
        /// A tunnel (WebSocket) is closed after this time without a byte either way.
        tunnel_idle: Timeout = "1h",
    }
}
