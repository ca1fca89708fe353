//! A real HTTP/1.1 origin that does what its script says and keeps what it received.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

use super::answer::{Answer, Step};
use super::message::{Broken, Message};
use super::wire::Inbox;
use super::{Latch, PATIENCE, eventually};

/// Listens until dropped. Each connection has its own thread.
pub struct Origin {
    address: SocketAddr,
    shared: Arc<Shared>,
}

type Script = Arc<dyn Fn(&Message) -> Option<Answer> + Send + Sync>;

#[derive(Default)]
struct Shared {
    stopped: AtomicBool,
    opened: AtomicUsize,
    open: AtomicUsize,
    heads: AtomicUsize,
    broken_bodies: AtomicUsize,
    malformed: AtomicUsize,
    requests: Mutex<Vec<Message>>,
    /// The connection each request came on, from 0.
    came_on: Mutex<Vec<usize>>,
    /// A second handle on each open connection.
    streams: Mutex<HashMap<usize, TcpStream>>,
    on_head: Mutex<Option<Script>>,
    on_request: Mutex<Option<Script>>,
}

impl Origin {
    /// Answers every request as `script` says.
    pub fn start(script: impl Fn(&Message) -> Answer + Send + Sync + 'static) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), script)
    }

    pub fn start_at(address: SocketAddr, script: impl Fn(&Message) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let origin = Self { address: listener.local_addr().unwrap(), shared: Arc::default() };
        origin.answer_with(script);
        let shared = origin.shared.clone();
        thread::spawn(move || accept(&listener, &shared));
        origin
    }

    /// Answers everything the same.
    pub fn answering(answer: Answer) -> Self {
        Self::start(move |_| answer.clone())
    }

    /// 200 with this body: tells which origin it was.
    pub fn named(name: &str) -> Self {
        Self::answering(Answer::ok(name))
    }

    /// 200, and the request's body comes back.
    pub fn mirror() -> Self {
        Self::start(|request| Answer::ok(&request.body))
    }

    /// Another script from the next request on.
    pub fn answer_with(&self, script: impl Fn(&Message) -> Answer + Send + Sync + 'static) {
        *self.shared.on_request.lock().unwrap() = Some(Arc::new(move |r| Some(script(r))));
    }

    /// Acts as soon as the head is there; with `None`, the body is read and the other script asked.
    pub fn answer_heads_with(&self, script: impl Fn(&Message) -> Option<Answer> + Send + Sync + 'static) {
        *self.shared.on_head.lock().unwrap() = Some(Arc::new(script));
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Complete requests so far.
    pub fn requests(&self) -> Vec<Message> {
        self.shared.requests.lock().unwrap().clone()
    }

    pub fn count(&self) -> usize {
        self.shared.requests.lock().unwrap().len()
    }

    /// The only request so far; waits for it.
    #[track_caller]
    pub fn request(&self) -> Message {
        self.wait_for_requests(1);
        let requests = self.requests();
        assert_eq!(requests.len(), 1, "{requests:?}");
        requests.into_iter().next().unwrap()
    }

    #[track_caller]
    pub fn last(&self) -> Message {
        self.wait_for_requests(1);
        self.requests().pop().unwrap()
    }

    /// The connection that each request came on, from 0.
    pub fn came_on(&self) -> Vec<usize> {
        self.shared.came_on.lock().unwrap().clone()
    }

    /// Heads so far, complete requests or not.
    pub fn heads(&self) -> usize {
        self.shared.heads.load(Ordering::SeqCst)
    }

    /// Requests whose body broke off or was no proper body.
    pub fn broken_bodies(&self) -> usize {
        self.shared.broken_bodies.load(Ordering::SeqCst)
    }

    /// Heads that are not HTTP/1.1 as RFC 9112 has it.
    pub fn malformed(&self) -> usize {
        self.shared.malformed.load(Ordering::SeqCst)
    }

    pub fn connections_opened(&self) -> usize {
        self.shared.opened.load(Ordering::SeqCst)
    }

    pub fn connections_open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    #[track_caller]
    pub fn wait_for_requests(&self, count: usize) {
        eventually(&format!("{count} requests at the origin"), || self.count() >= count);
    }

    #[track_caller]
    pub fn wait_for_heads(&self, count: usize) {
        eventually(&format!("{count} heads at the origin"), || self.heads() >= count);
    }

    /// Closes every connection that is open now, as an origin does whose keep-alive time is over.
    pub fn close_connections(&self) {
        for (_, stream) in self.shared.streams.lock().unwrap().drain() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
        self.close_connections();
        for _ in 0..1000 {
            if Arc::strong_count(&self.shared) == 1 || TcpListener::bind(self.address).is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// An address that refuses every connection: nobody listens on ports that low.
pub fn refusing_address(number: u16) -> SocketAddr {
    assert!((1..=6).contains(&number));
    (Ipv4Addr::LOCALHOST, number).into()
}

/// A socket whose queue is full, so that further connects get no answer at all. Held until dropped.
pub struct Blackhole {
    listener: Socket,
    _queued: Vec<Socket>,
}

impl Blackhole {
    pub fn start() -> Self {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let queued = (0..4)
            .map(|_| {
                let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
                socket.set_nonblocking(true).unwrap();
                let _ = socket.connect(&address);
                socket
            })
            .collect();
        Self { listener, _queued: queued }
    }

    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap().as_socket().unwrap()
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept() {
        if shared.stopped.load(Ordering::SeqCst) {
            return;
        }
        let number = shared.opened.fetch_add(1, Ordering::SeqCst);
        shared.open.fetch_add(1, Ordering::SeqCst);
        shared.streams.lock().unwrap().insert(number, stream.try_clone().unwrap());
        let shared = shared.clone();
        thread::spawn(move || {
            let mut inbox = Inbox::new(stream);
            while serve(&mut inbox, &shared, number).is_some() {}
            // The last handle's close sends the FIN, or the RST if `Step::Reset` asked for it.
            shared.streams.lock().unwrap().remove(&number);
            drop(inbox);
            shared.open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

/// One request and its answer; `None` when the connection is over.
fn serve(inbox: &mut Inbox<TcpStream>, shared: &Shared, number: usize) -> Option<()> {
    let mut request = Message::read_request_head(inbox.within(PATIENCE * 6))
        .inspect_err(|broken| {
            if let Broken::Malformed(_) = broken {
                shared.malformed.fetch_add(1, Ordering::SeqCst);
            }
        })
        .ok()?;
    shared.heads.fetch_add(1, Ordering::SeqCst);
    let early = shared.on_head.lock().unwrap().clone().and_then(|script| script(&request));
    let answered = early.is_some();
    if let Some(answer) = early {
        perform(inbox, &answer)?;
    }
    if request.read_body(inbox.within(PATIENCE * 6)).is_err() {
        shared.broken_bodies.fetch_add(1, Ordering::SeqCst);
        return None;
    }
    let script = shared.on_request.lock().unwrap().clone()?;
    let answer = if answered { None } else { script(&request) };
    shared.came_on.lock().unwrap().push(number);
    shared.requests.lock().unwrap().push(request);
    answer.map_or(Some(()), |answer| perform(inbox, &answer))
}

fn perform(inbox: &mut Inbox<TcpStream>, answer: &Answer) -> Option<()> {
    for step in &answer.0 {
        match step {
            Step::Send(bytes) => inbox.wire.write_all(bytes).ok()?,
            Step::Wait(latch) => latch.wait(),
            Step::Open(latch) => latch.open(),
            Step::Drip(bytes, every) => {
                for byte in bytes {
                    inbox.wire.write_all(&[*byte]).ok()?;
                    Latch::new().wait_for(*every);
                }
            }
            Step::Reset => {
                let _ = SockRef::from(&inbox.wire).set_linger(Some(Duration::ZERO));
                return None;
            }
            Step::Hear => inbox.wire.read_exact(&mut [0]).ok()?,
            Step::Close => return None,
            Step::CloseWrite => inbox.wire.shutdown(Shutdown::Write).ok()?,
            Step::Hang => {
                let mut sink = [0; 4096];
                let _ = inbox.wire.set_read_timeout(Some(PATIENCE * 6));
                while inbox.wire.read(&mut sink).ok()? > 0 {}
                return None;
            }
            Step::Echo => {
                let early = inbox.rest().to_vec();
                inbox.wire.write_all(&early).ok()?;
                let mut chunk = [0; 16 << 10];
                let _ = inbox.wire.set_read_timeout(Some(PATIENCE * 6));
                loop {
                    let n = inbox.wire.read(&mut chunk).ok()?;
                    if n == 0 {
                        return None;
                    }
                    inbox.wire.write_all(&chunk[..n]).ok()?;
                }
            }
        }
    }
    Some(())
}
