//! Who asks, when it is a proxy that asks for them.
//!
//! In `X-Forwarded-For` a proxy says who asked it. It adds that to what the request brought along, at the right end:
//! further left, anybody may have written anything. So the list is read from the right, and only as far as it was
//! written by those whom the configuration trusts (`auth.trusted_proxies`), of whom the first is the peer itself.

use std::net::{IpAddr, SocketAddr};

/// The proxies that are believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies(Vec<Network>);

/// The addresses whose first `bits` bits are those of `address`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    bits: u32,
}

impl Proxies {
    /// Reads addresses and networks, separated by commas: `127.0.0.1, 10.0.0.0/8, fd00::/8`. Nothing: none.
    pub fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::default());
        }
        text.split(',').map(|part| Network::parse(part.trim())).collect::<Option<_>>().map(Self)
    }

    /// Who asks: the peer, or whom it asks for, if it is one of these. `forwarded` are the lines of
    /// `X-Forwarded-For`. What is no address counts for nothing: then it was the proxy that wrote it.
    pub fn client<'a>(&self, peer: IpAddr, forwarded: impl Iterator<Item = &'a str>) -> IpAddr {
        let mut client = peer.to_canonical();
        if !self.contain(client) {
            return client;
        }
        let hops: Vec<&str> = forwarded.flat_map(|line| line.split(',')).collect();
        for hop in hops.into_iter().rev() {
            match parse_hop(hop.trim()) {
                Some(address) if self.contain(client) => client = address,
                _ => break,
            }
        }
        client
    }

    fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        match bits {
            None => {
                let address = address.to_canonical();
                Some(Self { address, bits: if address.is_ipv4() { 32 } else { 128 } })
            }
            Some(bits) if bits.bytes().all(|b| b.is_ascii_digit()) => {
                let bits = bits.parse().ok().filter(|bits| *bits <= width)?;
                Some(Self { address, bits })
            }
            Some(_) => None,
        }
    }

    /// Is an address one of them? An IPv4 address is not to come as `::ffff:…`.
    fn contains(&self, other: IpAddr) -> bool {
        match (self.address, other) {
            (IpAddr::V4(one), IpAddr::V4(other)) => {
                let differing = one.to_bits() ^ other.to_bits();
                differing.leading_zeros() >= self.bits
            }
            (IpAddr::V6(one), IpAddr::V6(other)) => {
                let differing = one.to_bits() ^ other.to_bits();
                differing.leading_zeros() >= self.bits
            }
            _ => false,
        }
    }
}

/// An address as proxies write it: alone, in brackets, with a port.
fn parse_hop(text: &str) -> Option<IpAddr> {
    let in_brackets = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let address = match in_brackets {
        Some(v6) => IpAddr::V6(v6.parse().ok()?),
        None => text.parse().or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip())).ok()?,
    };
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With these proxies, who asks when `peer` sends these lines, which are separated by `|`.
    #[track_caller]
    fn check(proxies: &str, peer: &str, lines: &str, expect: &str) {
        let forwarded = lines.split('|').filter(|_| !lines.is_empty());
        let client = Proxies::parse(proxies).unwrap().client(peer.parse().unwrap(), forwarded);
        assert_eq!(client.to_string(), expect, "{proxies} {peer} {lines}");
    }

    #[test]
    fn a_peer_that_is_not_trusted_speaks_for_itself() {
        for lines in ["", "9.9.9.9", "9.9.9.9|8.8.8.8", "127.0.0.1"] {
            check("", "127.0.0.1", lines, "127.0.0.1");
            check("10.0.0.0/8, ::1", "127.0.0.1", lines, "127.0.0.1");
            check("10.0.0.0/8", "11.0.0.1", lines, "11.0.0.1");
            check("127.0.0.1", "::1", lines, "::1");
        }
    }

    #[test]
    fn of_what_a_proxy_says_the_last_counts_that_is_no_proxy() {
        check("127.0.0.1", "127.0.0.1", "192.0.2.7", "192.0.2.7");
        check("127.0.0.1", "::ffff:127.0.0.1", "192.0.2.7", "192.0.2.7");
        check("::ffff:127.0.0.1", "127.0.0.1", "::ffff:192.0.2.7", "192.0.2.7");
        check("127.0.0.1", "127.0.0.1", "9.9.9.9, 192.0.2.7", "192.0.2.7");
        check("127.0.0.1", "127.0.0.1", "9.9.9.9|192.0.2.7", "192.0.2.7");
        check("127.0.0.1", "127.0.0.1", "9.9.9.9|8.8.8.8 ,192.0.2.7", "192.0.2.7");
        check("127.0.0.1, 10.0.0.0/8", "127.0.0.1", "9.9.9.9, 192.0.2.7, 10.1.2.3", "192.0.2.7");
        check("127.0.0.1, 10.0.0.0/8", "127.0.0.1", "9.9.9.9, 192.0.2.7, 10.1.2.3|10.3.4.5", "192.0.2.7");
        check("127.0.0.1, 10.0.0.0/8", "127.0.0.1", "10.0.0.1, 10.0.0.2", "10.0.0.1");
        check("127.0.0.1", "127.0.0.1", "127.0.0.1", "127.0.0.1");
    }

    #[test]
    fn addresses_come_with_brackets_and_ports() {
        for (hop, expect) in [
            ("192.0.2.7:4711", "192.0.2.7"),
            ("2001:db8::7", "2001:db8::7"),
            ("[2001:db8::7]", "2001:db8::7"),
            ("[2001:DB8::7]:4711", "2001:db8::7"),
            ("\t192.0.2.7 ", "192.0.2.7"),
        ] {
            check("::1", "::1", hop, expect);
        }
    }

    #[test]
    fn what_is_no_address_is_whoever_wrote_it() {
        for garbage in
            ["", " ", ",", "unknown", "unix:", "192.0.2", "192.0.2.7:99999", "[192.0.2.7]", "\"::1\""]
        {
            check("127.0.0.1", "127.0.0.1", garbage, "127.0.0.1");
            check("127.0.0.1", "127.0.0.1", &format!("9.9.9.9, {garbage}"), "127.0.0.1");
            check("127.0.0.1", "127.0.0.1", &format!("9.9.9.9|{garbage}"), "127.0.0.1");
            check("127.0.0.1, 10.0.0.1", "127.0.0.1", &format!("9.9.9.9, {garbage}, 10.0.0.1"), "10.0.0.1");
            check("127.0.0.1", "127.0.0.1", &format!("{garbage}, 192.0.2.7"), "192.0.2.7");
        }
    }

    #[test]
    fn networks_are_addresses_with_a_number_of_bits() {
        check("192.0.2.128/25", "192.0.2.128", "9.9.9.9", "9.9.9.9");
        check("192.0.2.128/25", "192.0.2.127", "9.9.9.9", "192.0.2.127");
        check("192.0.2.200/25", "192.0.2.128", "9.9.9.9", "9.9.9.9");
        check("0.0.0.0/0", "192.0.2.1", "9.9.9.9, 8.8.8.8", "9.9.9.9");
        check("2001:db8::/32", "2001:db8:ffff::1", "9.9.9.9", "9.9.9.9");
        check("2001:db8::/32", "2001:db9::1", "9.9.9.9", "2001:db9::1");
        check("::/0", "127.0.0.1", "9.9.9.9", "127.0.0.1");
        for text in [
            ",",
            "127.0.0.1,",
            "localhost",
            "127.0.0.1:80",
            "[::1]",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/",
            "/8",
            "10.0.0.0/+8",
            "10/8",
            "10.0.0.0/8/8",
            "10.0.0.1 10.0.0.2",
        ] {
            assert_eq!(Proxies::parse(text), None, "{text}");
        }
    }
}
