//! From a host's name to its addresses, in a way that can be given up at once.
//!
//! `getaddrinfo` blocks its thread for as long as name servers are silent, cannot be cancelled, and holds locks of libc
//! that a forked child would inherit. So addresses and `localhost` need no question, `/etc/hosts` is read, and the servers
//! of `/etc/resolv.conf` are asked over sockets of the runtime, with its search list. Only a name that these *answer* not
//! to know is asked of `getaddrinfo`, since the system may know other sources (mDNS, LDAP, macOS's own); that happens in
//! a thread of its own that nothing waits for, one at a time.

use super::dns::{self, Reply};
use crate::arena::fork;
use crate::runtime::with_random;
use rand::RngCore;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// How names are resolved on this machine.
#[derive(Debug, Default)]
pub(super) struct Resolver {
    servers: Vec<SocketAddr>,
    search: Vec<String>,
    /// A name with that many dots is tried as it is first.
    dots: usize,
    wait: Duration,
    attempts: usize,
    hosts: Vec<(IpAddr, String)>,
    /// Whether the system is asked for what the servers do not know.
    fallback: bool,
}

/// What was found out.
enum Found {
    Addresses(Vec<IpAddr>),
    /// A server answered that there is no such name, or none with an address.
    Unknown,
    /// No server answered.
    Silence,
}

impl Resolver {
    /// As the system's files say now.
    pub(super) async fn system() -> Self {
        // Both are small local files, and are read only when a connection is made.
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        Self {
            hosts: hosts(&read("/etc/hosts")),
            fallback: true,
            ..Self::configured(&read("/etc/resolv.conf"))
        }
    }

    fn configured(text: &str) -> Self {
        let mut resolver = Self {
            dots: 1,
            wait: Duration::from_secs(5),
            attempts: 2,
            ..Self::default()
        };
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    // A zone (`fe80::1%eth0`) is left out with its server.
                    let address = words.next().and_then(|word| word.parse::<IpAddr>().ok());
                    resolver
                        .servers
                        .extend(address.map(|address| SocketAddr::new(address, 53)));
                }
                Some("search" | "domain") => resolver.search = words.map(str::to_owned).collect(),
                Some("options") => words.for_each(|word| resolver.option(word)),
                _ => {}
            }
        }
        resolver.servers.truncate(3);
        resolver
    }

    fn option(&mut self, word: &str) {
        let Some((name, Ok(number))) = word.split_once(':').map(|(name, value)| (name, value.parse::<u32>())) else {
            return;
        };
        match name {
            "ndots" => self.dots = number.min(15) as usize,
            "timeout" => self.wait = Duration::from_secs(u64::from(number.clamp(1, 30))),
            "attempts" => self.attempts = number.clamp(1, 5) as usize,
            _ => {}
        }
    }

    /// The addresses of a host, those of IPv4 first: collectors that listen on one family listen on that.
    pub(super) async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let addresses = self.addresses(host).await?;
        Ok(addresses
            .into_iter()
            .map(|address| SocketAddr::new(address, port))
            .collect())
    }

    async fn addresses(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![address]);
        }
        let known: Vec<IpAddr> = self
            .hosts
            .iter()
            .filter(|(_, name)| name.eq_ignore_ascii_case(host.trim_end_matches('.')))
            .map(|(address, _)| *address)
            .collect();
        if !known.is_empty() {
            return Ok(known);
        }
        if is_localhost(host) {
            return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        match self.search(host).await {
            Found::Addresses(addresses) => Ok(addresses),
            Found::Unknown if self.fallback => ask_system(host).await,
            Found::Unknown => Err(io::Error::new(io::ErrorKind::NotFound, "no such host")),
            Found::Silence => Err(io::Error::new(io::ErrorKind::TimedOut, "no name server answered")),
        }
    }

    /// The names to ask for, as the search list makes them.
    fn candidates(&self, host: &str) -> Vec<String> {
        if host.ends_with('.') {
            return vec![host.to_owned()];
        }
        let mut names: Vec<String> = self.search.iter().map(|domain| format!("{host}.{domain}")).collect();
        let dots = host.bytes().filter(|byte| *byte == b'.').count();
        let at = if dots >= self.dots { 0 } else { names.len() };
        names.insert(at, host.to_owned());
        names
    }

    async fn search(&self, host: &str) -> Found {
        if self.servers.is_empty() {
            return Found::Unknown;
        }
        let mut silence = false;
        for name in self.candidates(host) {
            match self.lookup(&name).await {
                Found::Unknown => {}
                Found::Silence => silence = true,
                found @ Found::Addresses(_) => return found,
            }
        }
        if silence {
            Found::Silence
        } else {
            Found::Unknown
        }
    }

    async fn lookup(&self, name: &str) -> Found {
        for _ in 0..self.attempts {
            for server in &self.servers {
                match timeout(self.wait, ask(*server, name)).await {
                    Ok(Ok(Some(addresses))) if addresses.is_empty() => return Found::Unknown,
                    Ok(Ok(Some(addresses))) => return Found::Addresses(addresses),
                    // Another server may be better off.
                    Ok(Ok(None) | Err(_)) | Err(_) => {}
                }
            }
        }
        Found::Silence
    }
}

/// RFC 6761: those names never leave the machine.
fn is_localhost(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

fn hosts(text: &str) -> Vec<(IpAddr, String)> {
    let mut hosts: Vec<(IpAddr, String)> = Vec::new();
    for line in text.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let Some(address) = words.next().and_then(|word| word.parse::<IpAddr>().ok()) else {
            continue;
        };
        hosts.extend(words.map(|name| (address, name.to_owned())));
    }
    hosts.sort_by_key(|(address, _)| address.is_ipv6());
    hosts
}

/// Asks one server for both kinds of addresses; `None` when it cannot tell.
async fn ask(server: SocketAddr, name: &str) -> io::Result<Option<Vec<IpAddr>>> {
    let id = with_random(RngCore::next_u32);
    let ids = [id as u16, (id >> 16) as u16 ^ u16::from(id as u16 == (id >> 16) as u16)];
    let kinds = [dns::A, dns::AAAA];
    let questions: Vec<Vec<u8>> = ids
        .into_iter()
        .zip(kinds)
        .filter_map(|(id, kind)| dns::question(id, name, kind))
        .collect();
    let [first, second] = questions.as_slice() else {
        return Ok(Some(Vec::new()));
    };
    let local: IpAddr = if server.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    // Connected, so that nobody else's datagrams are taken; the port is the kernel's choice.
    let socket = UdpSocket::bind((local, 0)).await?;
    socket.connect(server).await?;
    socket.send(first).await?;
    socket.send(second).await?;
    let mut found: [Option<Vec<IpAddr>>; 2] = [None, None];
    let mut buffer = [0; 1500];
    while found.iter().any(Option::is_none) {
        let length = socket.recv(&mut buffer).await?;
        for (question, found) in questions.iter().zip(&mut found) {
            let mut reply = dns::reply(question, &buffer[..length]);
            if reply == Some(Reply::Truncated) {
                reply = ask_by_stream(server, question).await?;
            }
            match reply {
                Some(Reply::Addresses(addresses)) => *found = Some(addresses),
                Some(Reply::Unknown) => *found = Some(Vec::new()),
                Some(Reply::Failed | Reply::Truncated) => return Ok(None),
                None => {}
            }
        }
    }
    Ok(Some(found.into_iter().flatten().flatten().collect()))
}

async fn ask_by_stream(server: SocketAddr, question: &[u8]) -> io::Result<Option<Reply>> {
    let mut stream = TcpStream::connect(server).await?;
    let mut message = (question.len() as u16).to_be_bytes().to_vec();
    message.extend_from_slice(question);
    stream.write_all(&message).await?;
    let length = stream.read_u16().await?;
    let mut answer = vec![0; usize::from(length)];
    stream.read_exact(&mut answer).await?;
    Ok(dns::reply(question, &answer))
}

/// The generation of the process whose thread is inside `getaddrinfo`; 0 for none.
static ASKING: AtomicU32 = AtomicU32::new(0);

async fn ask_system(host: &str) -> io::Result<Vec<IpAddr>> {
    let generation = fork::generation();
    let before = ASKING.swap(generation, Ordering::AcqRel);
    if before == generation {
        return Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the system is still looking for the host",
        ));
    }
    let (sender, receiver) = oneshot::channel();
    let name = host.to_owned();
    let thread = std::thread::Builder::new()
        .name("tasker_telemetry dns".to_owned())
        .spawn(move || {
            let addresses = (name.as_str(), 0).to_socket_addrs();
            ASKING.store(0, Ordering::Release);
            let _ = sender.send(addresses.map(|found| found.map(|address| address.ip()).collect::<Vec<_>>()));
        });
    if let Err(error) = thread {
        ASKING.store(0, Ordering::Release);
        return Err(error);
    }
    receiver
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::Interrupted.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket as Socket;
    use std::sync::mpsc;

    fn run<T>(future: impl std::future::Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(future)
    }

    /// A name server on loopback that knows one name; answers where it listens and what it was asked.
    fn server(known: &'static str) -> (SocketAddr, mpsc::Receiver<Vec<u8>>) {
        let socket = Socket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                let question = &buffer[..length];
                if sender.send(question.to_vec()).is_err() {
                    return;
                }
                let id = u16::from_be_bytes([question[0], question[1]]);
                let is = |kind| dns::question(id, known, kind).is_some_and(|expected| expected == question);
                let mut reply = question.to_vec();
                reply[2] = 0x81;
                if is(dns::A) {
                    reply[7] = 1;
                    reply.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 1, 2, 3]);
                } else if !is(dns::AAAA) {
                    reply[3] = 3;
                }
                let _ = socket.send_to(&reply, from);
            }
        });
        (address, receiver)
    }

    #[test]
    fn addresses_and_localhost_need_no_question() {
        let resolver = Resolver::default();
        let of = |host: &str| run(resolver.addresses(host)).unwrap();
        assert_eq!(of("10.0.0.7"), ["10.0.0.7".parse::<IpAddr>().unwrap()]);
        assert_eq!(of("::1"), ["::1".parse::<IpAddr>().unwrap()]);
        assert_eq!(of("LocalHost."), of("a.localhost"));
        assert_eq!(of("localhost").len(), 2);
    }

    #[test]
    fn reads_the_systems_files() {
        let resolver = Resolver::configured(
            "# comment\nnameserver 10.0.0.10\nnameserver fe80::1%eth0\nsearch svc.cluster.local cluster.local\n\
             options ndots:5 timeout:2 edns0 attempts:3\n",
        );
        assert_eq!(resolver.servers, ["10.0.0.10:53".parse::<SocketAddr>().unwrap()]);
        assert_eq!((resolver.dots, resolver.attempts), (5, 3));
        assert_eq!(
            resolver.candidates("otel.tools"),
            ["otel.tools.svc.cluster.local", "otel.tools.cluster.local", "otel.tools"]
        );
        assert_eq!(resolver.candidates("otel.tools."), ["otel.tools."]);
        let hosts = hosts("::1 here # too\n127.0.0.1 here there\nnonsense\n");
        assert_eq!(hosts.len(), 3);
        assert!(hosts[0].0.is_ipv4());
    }

    #[test]
    fn asks_the_servers_with_the_search_list() {
        let (address, _questions) = server("collector.internal");
        let resolver = Resolver {
            servers: vec![address],
            search: vec!["internal".to_owned()],
            dots: 1,
            wait: Duration::from_secs(20),
            attempts: 1,
            ..Resolver::default()
        };
        let found = run(resolver.resolve("collector", 4318)).unwrap();
        assert_eq!(found, ["10.1.2.3:4318".parse::<SocketAddr>().unwrap()]);
        let missing = run(resolver.resolve("nobody", 1)).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_server_that_is_silent_is_given_up() {
        let silent = Socket::bind("127.0.0.1:0").unwrap();
        let (answering, _questions) = server("collector");
        let mut resolver = Resolver {
            servers: vec![silent.local_addr().unwrap()],
            wait: Duration::from_millis(50),
            attempts: 1,
            ..Resolver::default()
        };
        assert_eq!(
            run(resolver.resolve("collector", 1)).unwrap_err().kind(),
            io::ErrorKind::TimedOut
        );
        resolver.servers.push(answering);
        resolver.wait = Duration::from_secs(1);
        assert_eq!(run(resolver.resolve("collector", 1)).unwrap().len(), 1);
    }
}
