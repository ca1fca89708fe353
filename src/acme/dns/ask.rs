//! DNS over TCP: one message to one server, and its answer.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::acme::failure::Failure;

const ANSWER_TAKES_AT_MOST: Duration = Duration::from_secs(10);
/// A chain of aliases is followed this far.
const MOST_ALIASES: usize = 8;

/// Sends a message and reads one back.
pub(super) async fn exchange(server: SocketAddr, message: &[u8]) -> Result<Vec<u8>, Failure> {
    let failed = |why: String| Failure::local(format!("the name server {server}: {why}"));
    let length = u16::try_from(message.len()).map_err(|_| failed("the message is too long".to_owned()))?;
    let work = async {
        let mut stream = TcpStream::connect(server).await?;
        let mut framed = length.to_be_bytes().to_vec();
        framed.extend_from_slice(message);
        stream.write_all(&framed).await?;
        let mut answer = vec![0; stream.read_u16().await?.into()];
        stream.read_exact(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    match timeout(ANSWER_TAKES_AT_MOST, work).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(_) => Err(failed("no answer within 10 s".to_owned())),
    }
}

/// Asks a server for the records of a name.
pub(super) async fn query(server: SocketAddr, name: &Name, kind: RecordType) -> Result<Message, Failure> {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name.clone(), kind));
    let bytes = message.to_vec().map_err(Failure::local)?;
    let answer = exchange(server, &bytes).await?;
    let answer = Message::from_vec(&answer)
        .map_err(|_| Failure::local(format!("the name server {server}: an answer that makes no sense")))?;
    if answer.metadata.id != message.metadata.id {
        return Err(Failure::local(format!("the name server {server}: an answer to another question")));
    }
    match answer.metadata.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain => Ok(answer),
        code => Err(Failure::local(format!("the name server {server}: {name} {kind}: {code}"))),
    }
}

/// Asks one server after the other, until one answers.
pub(super) async fn query_any(servers: &[SocketAddr], name: &Name, kind: RecordType) -> Result<Message, Failure> {
    let mut last = Failure::local("this machine has no name server (/etc/resolv.conf)");
    for server in servers {
        match query(*server, name, kind).await {
            Ok(answer) => return Ok(answer),
            Err(failure) => last = failure,
        }
    }
    Err(last)
}

/// The resolvers of this machine.
pub(super) fn system_resolvers() -> Vec<SocketAddr> {
    let Ok((config, _)) = read_system_conf() else { return Vec::new() };
    let mut servers: Vec<SocketAddr> = Vec::new();
    for server in config.name_servers() {
        let address = SocketAddr::new(server.ip, 53);
        if !servers.contains(&address) {
            servers.push(address);
        }
    }
    servers
}

/// Where the aliases of a name lead.
pub(super) async fn canonical(servers: &[SocketAddr], name: Name) -> Result<Name, Failure> {
    let mut name = name;
    for _ in 0..MOST_ALIASES {
        let answer = query_any(servers, &name, RecordType::CNAME).await?;
        let target = answer.answers.iter().find_map(|record| match &record.data {
            RData::CNAME(target) if record.name == name => Some(target.0.clone()),
            _ => None,
        });
        match target {
            Some(target) => name = target,
            None => return Ok(name),
        }
    }
    Err(Failure::local(format!("{name}: its aliases don't end")))
}

/// The zone that a name is in, as a server tells it.
pub(super) async fn zone_of(servers: &[SocketAddr], name: &Name) -> Result<Name, Failure> {
    let answer = query_any(servers, name, RecordType::SOA).await?;
    let records = answer.answers.iter().chain(&answer.authorities);
    let zones = records.filter(|record| record.record_type() == RecordType::SOA && record.name.zone_of(name));
    let zone = zones.map(|record| record.name.clone()).next();
    zone.ok_or_else(|| Failure::local(format!("{name}: no zone of the name server has this name")))
}

/// The texts of a name, as a server has them now.
pub(super) async fn texts(server: SocketAddr, name: &Name) -> Result<Vec<String>, Failure> {
    let answer = query(server, name, RecordType::TXT).await?;
    let texts = answer.answers.iter().filter_map(|record| match &record.data {
        RData::TXT(text) => Some(text.txt_data.iter().map(|part| String::from_utf8_lossy(part)).collect::<String>()),
        _ => None,
    });
    Ok(texts.collect())
}

/// The addresses of the servers that a zone names as its own.
pub(super) async fn servers_of(resolvers: &[SocketAddr], zone: &Name) -> Vec<SocketAddr> {
    let Ok(answer) = query_any(resolvers, zone, RecordType::NS).await else { return Vec::new() };
    let mut addresses = Vec::new();
    for record in &answer.answers {
        let RData::NS(server) = &record.data else { continue };
        for kind in [RecordType::A, RecordType::AAAA] {
            let Ok(answer) = query_any(resolvers, &server.0, kind).await else { continue };
            addresses.extend(answer.answers.iter().filter_map(|r| r.data.ip_addr()).map(|ip| SocketAddr::new(ip, 53)));
        }
    }
    addresses.truncate(16);
    addresses
}
