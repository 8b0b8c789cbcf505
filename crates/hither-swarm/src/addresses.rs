//! The addresses at which this node is reached.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use iroh::Endpoint;

/// What an endpoint is bound to, with "any address" replaced by those of this machine.
pub(crate) fn reached(endpoint: &Endpoint) -> Vec<SocketAddr> {
    let sockets = endpoint.bound_sockets();
    let mut addresses = Vec::new();
    for socket in &sockets {
        let found = if socket.ip().is_unspecified() { expand(endpoint, *socket) } else { vec![*socket] };
        for address in found {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
    }
    if addresses.is_empty() {
        // A machine without a network reaches itself.
        addresses.extend(sockets.first().map(|socket| {
            let ip: IpAddr = if socket.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
            SocketAddr::new(ip, socket.port())
        }));
    }
    addresses
}

fn expand(endpoint: &Endpoint, socket: SocketAddr) -> Vec<SocketAddr> {
    let own = endpoint.addr();
    let mut found: Vec<_> = own.ip_addrs().copied().filter(|ip| ip.is_ipv4() == socket.is_ipv4()).collect();
    if socket.is_ipv6() {
        // The transport leaves them out on a machine that has others, and then who has IPv6 alone does not find it.
        let table = std::fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
        let local = unique_local(&table).map(|ip| SocketAddr::new(ip.into(), socket.port()));
        found.extend(local.filter(|address| !own.ip_addrs().any(|known| known == address)));
    }
    if found.is_empty() {
        found.extend(outgoing(socket).map(|ip| SocketAddr::new(ip, socket.port())));
    }
    found
}

/// The addresses of networks of private use in the kernel's table: 32 hexadecimal digits, the number of the card, the length
/// of the prefix, the scope, and flags.
fn unique_local(table: &str) -> impl Iterator<Item = Ipv6Addr> {
    /// It is not settled yet whether another has it, another has it, or it is about to go.
    const NOT_USED: u8 = 0x40 | 0x08 | 0x20;
    table.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (digits, flags) = (words.first()?, words.get(4)?);
        let ip = Ipv6Addr::from_bits(u128::from_str_radix(digits, 16).ok()?);
        let is_used = u8::from_str_radix(flags, 16).ok()? & NOT_USED == 0;
        (ip.is_unique_local() && is_used).then_some(ip)
    })
}

/// Whether an address is one of a network card of this machine: a socket can be bound to it. Asking sends nothing.
pub(crate) fn is_of_this_machine(address: SocketAddr) -> bool {
    UdpSocket::bind(SocketAddr::new(address.ip(), 0)).is_ok()
}

/// The address of the interface that packets would leave by. Asking sends nothing.
fn outgoing(socket: SocketAddr) -> io::Result<IpAddr> {
    let (any, far): (SocketAddr, SocketAddr) = if socket.is_ipv4() {
        (([0, 0, 0, 0], 0).into(), ([192, 0, 2, 1], 9).into())
    } else {
        ((Ipv6Addr::UNSPECIFIED, 0).into(), ((0x2001_0db8_u128 << 96 | 1).to_be_bytes(), 9).into())
    };
    let probe = UdpSocket::bind(any)?;
    probe.connect(far)?;
    Ok(probe.local_addr()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_private_use_are_read_off_the_kernels_table_unless_they_are_in_doubt() {
        let table = "fd000007000000000000000000000001 02 40 00 80     eth0\n\
                     fe80000000000000481b82fffe053036 02 40 20 80     eth0\n\
                     fd000007000000000000000000000002 02 40 00 c0     eth0\n\
                     20010db8000000000000000000000001 02 40 00 80     eth0\n\
                     00000000000000000000000000000001 01 80 10 80       lo\n\
                     nonsense\n\n";
        let found: Vec<_> = unique_local(table).collect();
        assert_eq!(found, ["fd00:7::1".parse::<Ipv6Addr>().unwrap()]);
    }
}
