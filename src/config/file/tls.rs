//! `tls = …` of a `[[listener]]` and a `[[tcp]]`.

use crate::config::model::{SuiteOrder, TlsVersion};
use crate::config::read::Many;
use crate::config::table::table;
use crate::config::value::{Ciphers, FieldName, FilePath, Flag, Timeout};

table! {
    /// TLS 1.2 and 1.3 with the certificates of the sites, chosen by the name that the client asks for (SNI).
    ///
    /// ```toml
    /// [[listener]]
    /// address = "0.0.0.0:443"
    /// tls = { min_version = "1.3", strict_sni = true }
    /// ```
    pub(crate) struct TlsFile {
        /// The oldest version that is spoken.
        min_version: TlsVersion = "1.2",
        /// The cipher suites, as nginx's `ssl_ciphers` writes them: OpenSSL's names and kinds. All that are spoken are
        /// forward secret and authenticated; a list can only leave some out, or change their order.
        ciphers: Ciphers = "ALL",
        /// Whose order of suites counts: `"server"` takes the first of `ciphers` that the client knows, `"client"` the
        /// client's first.
        cipher_order: SuiteOrder = "server",
        /// From accept to the end of the handshake.
        handshake_timeout: Timeout = "10s",
        /// Offer HTTP/2. Nothing is offered on a `[[tcp]]` listener.
        http2: Flag = true,
        /// Refuse a client whose name no site has a certificate for, instead of showing it the default site's.
        strict_sni: Flag = false,
        /// Ask clients for certificates (mTLS).
        client_auth: ClientAuthFile,
    }
}

table! {
    /// Certificates of clients: the file with their authorities alone, or a table. A reload reads the files again.
    ///
    /// ```toml
    /// [[listener]]
    /// address = "0.0.0.0:443"
    /// tls.client_auth = { ca = "tls/clients.pem", subject_header = "X-Client-Subject" }
    /// ```
    pub(crate) struct ClientAuthFile shorthand ca {
        /// The certificates (PEM) of the authorities that a client's certificate must lead to.
        ca: FilePath = required,
        /// Lists (PEM) of what these authorities have revoked. With any, a client is let in only if a list of its
        /// certificate's own authority is there, is not out of date, and doesn't name it.
        crl: Many<FilePath> = [],
        /// Refuse clients without a certificate. A wrong certificate is refused in any case.
        required: Flag = true,
        /// The request field in which the upstream is told the certificate's subject (RFC 4514, as nginx's
        /// `$ssl_client_s_dn`). No client can set it itself, on whatever listener.
        subject_header: FieldName,
    }
}
