//! `[[tcp]]`

use super::{KeepAliveFile, ProxyProtocolFile, TlsFile};
use crate::config::read::{Many, Switch};
use crate::config::table::table;
use crate::config::value::{FileMode, HostName, ListenAddress, Name, Number, Timeout};

table! {
    /// An address whose connections are passed on as they are: databases, mail, TLS that ends somewhere else. An upstream's
    /// policy, ejection, retries (of connecting), `max_conns`, `bind`, `proxy_protocol` and `tls` hold here as they do for
    /// HTTP; what asks for a request (`sticky`, a `hash` of anything but `"client_ip"`) is refused. `"least_time"` goes by
    /// the time to connect. A half-closed connection stays so; one that breaks off is broken off on the other side, too.
    ///
    /// ```toml
    /// [[tcp]]
    /// address = ":5432"
    /// upstream = "postgres"
    ///
    /// [[tcp]]
    /// address = ":443"
    /// route = [{ hosts = "*.example.com", upstream = "web" }]    # TLS is not terminated, its name is read
    /// ```
    pub(crate) struct TcpFile {
        /// One address or several, as a listener's.
        address: Many<ListenAddress> = required,
        /// Where connections go that no route takes. Without it they are closed, and counted.
        upstream: Name,
        /// Where the names lead that TLS clients ask for. Without `tls`, the ClientHello is read to find out and passed on
        /// as it came: TLS ends at the endpoint. Then a connection that doesn't begin with TLS is closed, and counted.
        route: Many<TcpRouteFile> = [],
        /// TLS ends here, with the sites' certificates: `true`, or a table. What is inside goes on; no protocol is offered
        /// (ALPN).
        tls: Switch<TlsFile> = false,
        /// A connection without a byte either way is closed after this.
        idle_timeout: Timeout = "10m",
        /// How long a client may take to send the ClientHello that its name is read from.
        hello_timeout: Timeout = "10s",
        /// The permissions of a Unix socket's file. Without it: `"0666"`, as in nginx.
        mode: FileMode,
        /// Connections begin with a PROXY header that tells their client: `true`, or a table.
        proxy_protocol: Switch<ProxyProtocolFile> = false,
        /// Connections that the kernel holds until they are accepted.
        backlog: Number<1, 65_535> = 4096,
        /// Probes on silent connections: `true`, or a table.
        tcp_keepalive: Switch<KeepAliveFile> = false,
        /// A connection ends when what was sent over it stays unacknowledged for this long.
        tcp_user_timeout: Timeout,
    }
}

table! {
    /// Names that TLS clients ask for (SNI), and where they lead: the exact name, then the longest `*.example.com`, then the
    /// longest `www.example.*`.
    ///
    /// ```toml
    /// [[tcp]]
    /// address = ":443"
    ///
    /// [[tcp.route]]
    /// hosts = ["db.example.com", "*.db.example.com"]
    /// upstream = "db"
    /// ```
    pub(crate) struct TcpRouteFile {
        /// The names.
        hosts: Many<HostName> = required,
        /// Where they go.
        upstream: Name = required,
    }
}
