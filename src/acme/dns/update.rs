//! Dynamic updates (RFC 2136), signed with a shared key (RFC 8945).

use std::net::SocketAddr;

use hickory_proto::op::{Message, ResponseCode, update_message};
use hickory_proto::rr::rdata::TXT;
use hickory_proto::rr::rdata::tsig::TsigAlgorithm as Algorithm;
use hickory_proto::rr::{Name, RData, Record, RecordSet, TSigner};

use super::ask::{exchange, zone_of};
use crate::acme::Moment;
use crate::acme::failure::Failure;
use crate::config::{Secret, TsigAlgorithm};

/// Clocks may differ by this many seconds (RFC 8945 10).
const FUDGE: u16 = 300;
/// A minute: the record is gone by then.
const TTL: u32 = 60;

/// A server that takes updates, and what they are signed with.
pub(super) struct Primary<'a> {
    pub(super) server: SocketAddr,
    pub(super) key_name: &'a str,
    pub(super) algorithm: TsigAlgorithm,
    pub(super) secret: &'a Secret,
}

impl Primary<'_> {
    /// Adds a text to a name, beside others that are there.
    pub(super) async fn add(&self, name: &Name, text: &str) -> Result<(), Failure> {
        let zone = zone_of(&[self.server], name).await?;
        self.send(update_message::append(records(name, text), zone, false, false), name).await
    }

    /// Takes this text away from a name, and no other.
    pub(super) async fn remove(&self, name: &Name, text: &str) -> Result<(), Failure> {
        let zone = zone_of(&[self.server], name).await?;
        self.send(update_message::delete_by_rdata(records(name, text), zone, false), name).await
    }

    async fn send(&self, mut message: Message, name: &Name) -> Result<(), Failure> {
        let failed =
            |why: String| Failure::local(format!("the name server {} doesn't update {name}: {why}", self.server));
        let signer = self.signer()?;
        let now = u64::try_from(Moment::now().seconds()).unwrap_or(0);
        message.finalize(&signer, now).map_err(|error| failed(error.to_string()))?;
        let bytes = message.to_vec().map_err(|error| failed(error.to_string()))?;
        let (mac, _, _) = signer.verify_message_byte(&bytes, None, true).map_err(|error| failed(error.to_string()))?;
        let answer = exchange(self.server, &bytes).await?;
        let parsed = Message::from_vec(&answer).map_err(|_| failed("an answer that makes no sense".to_owned()))?;
        match parsed.metadata.response_code {
            ResponseCode::NoError => {}
            ResponseCode::NotAuth => {
                return Err(failed(format!(
                    "it doesn't know the key \"{}\" with this secret and algorithm, or the clocks differ",
                    self.key_name
                )));
            }
            ResponseCode::Refused => return Err(failed(format!("the key \"{}\" may not", self.key_name))),
            code => return Err(failed(code.to_string())),
        }
        // Somebody in between could answer as well.
        signer
            .verify_message_byte(&answer, Some(&mac), true)
            .map_err(|_| failed("its answer isn't signed with the key".to_owned()))?;
        Ok(())
    }

    fn signer(&self) -> Result<TSigner, Failure> {
        let name = Name::from_ascii(self.key_name)
            .map_err(|_| Failure::local(format!("\"{}\" is no name of a key", self.key_name)))?;
        let algorithm = match self.algorithm {
            TsigAlgorithm::Sha256 => Algorithm::HmacSha256,
            TsigAlgorithm::Sha384 => Algorithm::HmacSha384,
            TsigAlgorithm::Sha512 => Algorithm::HmacSha512,
        };
        TSigner::new(self.secret.bytes().to_vec(), algorithm, name, FUDGE).map_err(Failure::local)
    }
}

fn records(name: &Name, text: &str) -> RecordSet {
    RecordSet::from(Record::from_rdata(name.clone(), TTL, RData::TXT(TXT::new(vec![text.to_owned()]))))
}
