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
    if found.is_empty() {
        found.extend(outgoing(socket).map(|ip| SocketAddr::new(ip, socket.port())));
    }
    found
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
