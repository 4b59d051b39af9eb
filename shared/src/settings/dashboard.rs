//! The settings of the page.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use super::reader::Reader;
use crate::secrets::SecretRef;

/// Where the page listens, and whom it believes.
#[derive(Clone, Debug)]
pub struct DashboardSettings {
    /// `DASHBOARD_ADDR`.
    pub address: SocketAddr,
    /// `DASHBOARD_TOKEN`.
    pub token: Option<SecretRef>,
    /// `DASHBOARD_USER_HEADER`.
    pub user_header: Option<String>,
    /// `DASHBOARD_TRUSTED_PROXY`.
    pub trusted_proxies: Vec<Network>,
}

/// Addresses that share a prefix: `10.0.0.0/8`, `::1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    base: IpAddr,
    prefix: u8,
}

impl Network {
    /// Whether the address is one of it.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (base, address, width) = match (self.base, address.to_canonical()) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                (u32::from(base).into(), u32::from(address).into(), 32)
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => (u128::from(base), u128::from(address), 128),
            _ => return false,
        };
        self.prefix == 0 || (base ^ address) >> (width - self.prefix) == 0
    }
}

impl FromStr for Network {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (base, prefix) = text.split_once('/').map_or((text, None), |(base, prefix)| (base, Some(prefix)));
        let base: IpAddr = base.parse().map_err(drop)?;
        let width = if base.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(prefix) => prefix.parse().ok().filter(|prefix| *prefix <= width).ok_or(())?,
            None => width,
        };
        Ok(Self { base, prefix })
    }
}

pub(super) fn read(reader: &mut Reader<'_>) -> DashboardSettings {
    let address = reader.value(
        "DASHBOARD_ADDR",
        SocketAddr::from(([127, 0, 0, 1], 8080)),
        "an IP address and a port, such as 127.0.0.1:8080",
        |text| text.parse().ok(),
    );
    let token = reader.secret("DASHBOARD_TOKEN");
    let user_header = reader.value("DASHBOARD_USER_HEADER", None, "the name of an HTTP header", |text| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        text.bytes().all(plain).then(|| Some(text.to_ascii_lowercase()))
    });
    let trusted_proxies = reader.value(
        "DASHBOARD_TRUSTED_PROXY",
        Vec::new(),
        "addresses or networks with commas between, such as 10.0.0.5 or 10.0.0.0/8",
        |text| text.split(',').map(|part| part.trim().parse().ok()).collect(),
    );
    if user_header.is_some() && trusted_proxies.is_empty() {
        reader.refuse(
            "DASHBOARD_TRUSTED_PROXY",
            "not set; DASHBOARD_USER_HEADER is believed only from the proxy that this names".into(),
        );
    }
    DashboardSettings { address, token, user_header, trusted_proxies }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_what_shares_its_prefix() {
        let network: Network = "10.1.0.0/16".parse().unwrap();
        assert!(network.contains("10.1.255.1".parse().unwrap()));
        assert!(network.contains("::ffff:10.1.0.1".parse().unwrap()), "IPv4 written as IPv6");
        assert!(!network.contains("10.2.0.1".parse().unwrap()));
        assert!(!"::1".parse::<Network>().unwrap().contains("::2".parse().unwrap()));
        assert!("0.0.0.0/0".parse::<Network>().unwrap().contains("9.9.9.9".parse().unwrap()));
        for wrong in ["10.0.0.0/33", "proxy", "10.0.0.0/", ""] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }
}
