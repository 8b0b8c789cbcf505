//! One router with a machine at each of its ports, and what the kernel counted at each port.
//!
//! No bridge: behind one, each machine keeps an entry for each other in the kernel's table of neighbours, which all
//! namespaces share and which is full with 33 machines.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::process::Command;

use super::super::net::{shell, within};

/// The namespace of the router.
const SPACE: &str = "hall";

/// The router, as each machine sees it.
const ROUTER: &str = "10.77.255.1";

/// A frame's head, which is not IP's.
const ETHERNET: u64 = 14;

/// What went through a port since it was made, in bytes of IP.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Port {
    /// From the machine.
    pub(super) sent: u64,
    /// To the machine.
    pub(super) received: u64,
    /// Packets in both directions.
    pub(super) packets: u64,
}

/// The router and its machines.
pub(super) struct Hall {
    spaces: Vec<String>,
}

impl Hall {
    /// No machine yet.
    pub(super) fn new() -> Result<Self, String> {
        let mut hall = Self { spaces: Vec::new() };
        hall.space(SPACE)?;
        shell(SPACE, "echo 1 > /proc/sys/net/ipv4/ip_forward")?;
        Ok(hall)
    }

    fn space(&mut self, name: &str) -> Result<(), String> {
        let done = Command::new("ip").args(["netns", "add", name]).output().map_err(|error| format!("ip: {error}"))?;
        if !done.status.success() {
            return Err(format!("ip netns add {name}: {}", String::from_utf8_lossy(&done.stderr)));
        }
        self.spaces.push(name.to_owned());
        let all = "ip link set lo up\n\
                   [ ! -e /proc/sys/net/ipv6/conf/all/disable_ipv6 ] || echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6";
        shell(name, all).map(drop)
    }

    /// A machine at the next port: the name of its namespace, and its address.
    pub(super) fn machine(&mut self, name: &str) -> Result<(String, String), String> {
        let space = format!("n-{name}");
        self.space(&space)?;
        let host = self.spaces.len() + 8;
        shell(
            SPACE,
            &format!(
                "ip link add p-{name} type veth peer name eth0 netns {space}\nip addr add {ROUTER}/32 dev p-{name}\n\
                 ip link set p-{name} up\nip route add 10.77.0.{host}/32 dev p-{name}"
            ),
        )?;
        shell(
            &space,
            &format!(
                "ip addr add 10.77.0.{host}/32 dev eth0\nip link set eth0 up\nip route add {ROUTER}/32 dev eth0\n\
                 ip route add default via {ROUTER}"
            ),
        )?;
        Ok((space, format!("10.77.0.{host}")))
    }

    /// No machine sends faster than this from now on, in bits a second.
    pub(super) fn bound(&self, name: &str, bits_per_s: u64) -> Result<(), String> {
        let rule = format!("tc qdisc replace dev eth0 root tbf rate {bits_per_s}bit burst 64kb latency 50ms");
        shell(&format!("n-{name}"), &rule).map(drop)
    }

    /// Listens at the router, whose line is nobody's: the listener, which never waits, and its address.
    pub(super) fn listen(&self) -> Result<(TcpListener, SocketAddr), String> {
        let listen = || {
            let listener = TcpListener::bind((ROUTER, 0))?;
            listener.set_nonblocking(true)?;
            let address = listener.local_addr()?;
            Ok((listener, address))
        };
        within(SPACE, listen)?.map_err(|error: std::io::Error| format!("{ROUTER}: {error}"))
    }

    /// Counts from now on what goes from one of these groups of addresses to another.
    pub(super) fn part(&self, groups: &[Vec<&str>]) -> Result<(), String> {
        let mut rules = "table ip wan {\n counter far { }\n".to_owned();
        for (at, group) in groups.iter().enumerate() {
            rules += &format!(" set g{at} {{ type ipv4_addr; elements = {{ {} }} }}\n", group.join(", "));
        }
        rules += " chain pass { type filter hook forward priority 0;\n";
        for at in 0..groups.len() {
            rules += &format!("  ip saddr @g{at} ip daddr != @g{at} counter name far\n");
        }
        shell(SPACE, &format!("nft delete table ip wan 2>/dev/null || true\nnft -f - <<'END'\n{rules} }}\n}}\nEND"))
            .map(drop)
    }

    /// What has gone from group to group, in bytes of IP.
    pub(super) fn far(&self) -> Result<u64, String> {
        let said = shell(SPACE, "nft list counter ip wan far")?;
        let bytes = said.split_whitespace().skip_while(|word| *word != "bytes").nth(1);
        bytes.and_then(|bytes| bytes.parse().ok()).ok_or_else(|| format!("nft said {said}"))
    }

    /// What the kernel counted at each port, by the machine's name.
    pub(super) fn ports(&self) -> Result<BTreeMap<String, Port>, String> {
        let read = within(SPACE, || std::fs::read_to_string("/proc/thread-self/net/dev"))?;
        Ok(ports(&read.map_err(|error| format!("/proc/net/dev: {error}"))?))
    }
}

/// Reads the kernel's table. What a port receives is what its machine sent.
pub(super) fn ports(table: &str) -> BTreeMap<String, Port> {
    let line = |line: &str| {
        let (device, rest) = line.split_once(':')?;
        let name = device.trim().strip_prefix("p-")?;
        let numbers: Vec<u64> = rest.split_whitespace().filter_map(|number| number.parse().ok()).collect();
        let ip =
            |bytes: usize, packets: usize| Some(numbers.get(bytes)?.saturating_sub(ETHERNET * numbers.get(packets)?));
        let port = Port { sent: ip(0, 1)?, received: ip(8, 9)?, packets: numbers.get(1)? + numbers.get(9)? };
        Some((name.to_owned(), port))
    };
    table.lines().filter_map(line).collect()
}

impl Drop for Hall {
    fn drop(&mut self) {
        for space in &self.spaces {
            // What stays goes with the lab's own namespaces.
            let _ = Command::new("ip").args(["netns", "del", space]).output();
        }
    }
}
