//! What a panic in a connection takes with it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use crate::config::load::load_str;
use crate::server::Instance;

/// Ends the task, if the client asks for this name.
pub(super) fn panic_if_asked(name: Option<&str>) {
    assert_ne!(name, Some("panic.test"));
}

/// Echoes whatever comes.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut out = stream.try_clone().unwrap();
                std::io::copy(&mut stream, &mut out)
            });
        }
    });
    address
}

fn hello(name: &str) -> Vec<u8> {
    let length = name.len() as u8;
    let extension = [&[0, 0, 0, length + 5, 0, length + 3, 0, 0, length], name.as_bytes()].concat();
    let body = [&[3, 3][..], &[7; 32], &[0, 0, 2, 0x13, 1, 1, 0, 0, extension.len() as u8], &extension].concat();
    [&[22, 3, 1, 0, body.len() as u8 + 4, 1, 0, 0, body.len() as u8][..], &body].concat()
}

#[test]
fn a_panic_ends_its_own_connection_and_no_other() {
    let toml = format!(
        "workers = 1\naccess_log = false\n[[tcp]]\naddress = \"127.0.0.1:0\"\nroute = [{{ hosts = \"*.test\", upstream = \"u\" }}]\n\
         [upstream.u]\nendpoints = \"{}\"\n",
        echo()
    );
    let gate = Instance::start(
        load_str("t.toml", &toml, &crate::config::machine::Nowhere).unwrap_or_else(|e| panic!("{e}")).config,
    )
    .unwrap();
    let address = gate.listeners()[0].ip().unwrap();
    let connect = |name: &str| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(&hello(name)).unwrap();
        stream
    };
    let answers = |stream: &mut TcpStream, name: &str| stream.read_exact(&mut vec![0; hello(name).len()]).is_ok();
    let mut living = connect("a.test");
    assert!(answers(&mut living, "a.test"));
    assert!(!answers(&mut connect("panic.test"), "panic.test"));
    living.write_all(b"x").unwrap();
    assert!(living.read_exact(&mut [0]).is_ok(), "the other one goes on");
    assert!(answers(&mut connect("b.test"), "b.test"), "and so does the worker");
    gate.shutdown(Duration::ZERO);
}
