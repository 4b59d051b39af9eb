//! Asks the process beside this one whether it lives: for health checks in an image that holds no other program.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::error_chain;
use crate::settings::Settings;
use crate::status::{Status, refuse};

/// Shorter than what asks us usually waits.
const PATIENCE: Duration = Duration::from_secs(3);

/// The command `health`: asks `/healthz` on `METRICS_ADDR`. [`Status::Done`] says that the process there answers.
pub async fn health() -> Status {
    let settings = match Settings::from_env() {
        Ok(settings) => settings,
        Err(errors) => return refuse(errors),
    };
    let address = reachable(settings.metrics_addr);
    let answered = timeout(PATIENCE, ask(address)).await.unwrap_or_else(|_| {
        Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} s", PATIENCE.as_secs())))
    });
    match answered {
        Ok(()) => Status::Done,
        Err(error) => {
            eprintln!("error: http://{address}/healthz (METRICS_ADDR): {}", error_chain(&error));
            Status::Failed
        }
    }
}

/// Where a process that listens everywhere is reached from this machine.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

async fn ask(address: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").await?;
    let mut answer = String::new();
    stream.take(4096).read_to_string(&mut answer).await?;
    let first = answer.lines().next().unwrap_or_default();
    match first.split(' ').nth(1) {
        Some("200") => Ok(()),
        _ => Err(io::Error::other(format!("something else answers there: '{first}'"))),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::net::TcpListener;

    use super::*;
    use crate::metrics::{Page, Served};

    #[tokio::test]
    async fn a_process_that_serves_its_page_is_well() {
        let served = Served::on("127.0.0.1:0".parse().unwrap(), Arc::new(Page::default())).await;
        ask(served.address().expect("an address")).await.expect("it is well");
    }

    #[tokio::test]
    async fn a_process_that_is_not_there_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        assert_eq!(ask(address).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }

    #[tokio::test]
    async fn another_server_on_the_port_is_not_ours() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let other = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"HTTP/1.0 404 Not Found\r\n\r\n").await.unwrap();
        };
        let (asked, ()) = tokio::join!(ask(address), other);
        assert!(asked.unwrap_err().to_string().contains("404"));
    }

    #[test]
    fn who_listens_everywhere_is_asked_here() {
        let ours = |text: &str| reachable(text.parse().unwrap()).to_string();
        assert_eq!(ours("0.0.0.0:9464"), "127.0.0.1:9464");
        assert_eq!(ours("[::]:9464"), "[::1]:9464");
        assert_eq!(ours("10.0.0.7:9464"), "10.0.0.7:9464");
    }
}
