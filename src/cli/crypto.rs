//! The process's one crypto provider: aws-lc-rs.
//!
//! pingora's `rustls` feature compiles *ring* in as well and may try to make it the default. rustls keeps the first
//! provider that was installed, and panics where a default is needed while two are compiled in and none is installed.
//! So [`install`] is the first thing that `main` does.

use rustls::crypto::{CryptoProvider, aws_lc_rs};

/// Makes aws-lc-rs the default of the process. Whatever is installed later has no effect; calling it twice is harmless.
pub fn install() {
    // An error means that some default is installed already, which nothing before `main` can have done.
    let _ = aws_lc_rs::default_provider().install_default();
}

/// The installed provider as rustls names it, for `tidegate -V`: `AwsLcRs`.
pub fn installed_name() -> String {
    CryptoProvider::get_default().map_or_else(|| "none".to_owned(), |provider| format!("{:?}", provider.key_provider))
}

#[cfg(test)]
mod tests {
    use rustls::NamedGroup;

    use super::*;

    #[test]
    fn stays_aws_lc_rs_after_pingora_tries_to_install_ring() {
        install();
        pingora_core::tls::install_default_crypto_provider();
        assert_eq!(installed_name(), "AwsLcRs");
    }

    #[test]
    fn offers_the_post_quantum_key_exchange_first() {
        install();
        let provider = CryptoProvider::get_default().unwrap();
        assert_eq!(provider.kx_groups[0].name(), NamedGroup::X25519MLKEM768);
    }
}
