//! Sites out of network namespaces: machines on the bridge of a router, routers joined to a core by emulated links.
//!
//! ```text
//!   n-a1 ──┐ bridge                        TUN link              TUN link
//!          ├─ r-a (router, perhaps NAT) ═══════════════ core ═══════════════ r-b ── n-b1
//!   n-a2 ──┘  10.1.0.1                 198.18.1.2 / .1      198.18.2.1 / .2
//! ```

use std::fs::File;
use std::os::fd::AsFd;
use std::process::Command;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::link::Link;
use super::queue::Shape;

/// Where `ip netns` keeps its names; the lab has a file system of its own there.
const SPACES: &str = "/run/netns";

/// Runs something on a thread of its own in a namespace.
pub(super) fn within<T: Send>(space: &str, work: impl FnOnce() -> T + Send) -> Result<T, String> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| enter(space).map(|()| work()));
        thread.join().unwrap_or_else(|_| Err(format!("what ran in {space} panicked")))
    })
}

/// Moves the calling thread into a namespace.
pub(super) fn enter(space: &str) -> Result<(), String> {
    let file = File::open(format!("{SPACES}/{space}")).map_err(|error| format!("{space}: {error}"))?;
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
        .map_err(|error| format!("{space}: {error}"))
}

/// A command that will run in a namespace. It replaces the program that enters, so that its process is the command's own.
pub(super) fn command(space: &str, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net={SPACES}/{space}")).arg("--").arg(program);
    command
}

/// Runs lines of a shell in a namespace.
pub(super) fn shell(space: &str, lines: &str) -> Result<String, String> {
    let done = command(space, "sh").args(["-e", "-c", lines]).output().map_err(|error| format!("nsenter: {error}"))?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    Err(format!("in {space}: {lines}: {}", String::from_utf8_lossy(&done.stderr)))
}

/// Whether a router hides what is behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nat {
    /// Addresses behind it are known to all.
    Open,
    /// Linux's masquerade, as routers at home have it: it keeps the port where it can, and nothing comes in unasked.
    Masquerade,
    /// The same with a port drawn anew for each destination, as large networks have it: what one end learns of its outer
    /// address is worth nothing to others.
    Random,
}

/// A place with a router.
pub(super) struct Site {
    name: String,
    number: usize,
    machines: usize,
    /// Its link to the core.
    pub(super) link: Link,
}

/// All sites of one run.
pub(super) struct Net {
    seed: u64,
    spaces: Vec<String>,
    /// The sites, in the order in which they were made.
    pub(super) sites: Vec<Site>,
}

impl Net {
    /// The core alone.
    pub(super) fn new(seed: u64) -> Result<Self, String> {
        let mut net = Self { seed, spaces: Vec::new(), sites: Vec::new() };
        net.space("core")?;
        shell("core", "nft add table ip lab\nnft add chain ip lab pass '{ type filter hook forward priority 0; }'")?;
        Ok(net)
    }

    fn space(&mut self, name: &str) -> Result<(), String> {
        let done = Command::new("ip").args(["netns", "add", name]).output().map_err(|error| format!("ip: {error}"))?;
        if !done.status.success() {
            return Err(format!("ip netns add {name}: {}", String::from_utf8_lossy(&done.stderr)));
        }
        self.spaces.push(name.to_owned());
        let all = "ip link set lo up\necho 1 > /proc/sys/net/ipv4/ip_forward\n\
                   [ ! -e /proc/sys/net/ipv6/conf/all/disable_ipv6 ] || echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6";
        shell(name, all).map(drop)
    }

    /// Makes a site whose router is joined to the core by a link of this shape.
    pub(super) fn site(&mut self, name: &str, shape: Shape, nat: Nat) -> Result<&Site, String> {
        let number = self.sites.len() + 1;
        let router = format!("r-{name}");
        self.space(&router)?;
        let core_end = format!("to-{name}");
        let link = Link::join([(&router, "wan"), ("core", &core_end)], self.seed + number as u64, shape)?;
        shell(
            &router,
            &format!(
                "ip link add lan type bridge\nip addr add 10.{number}.0.1/24 dev lan\nip link set lan up\n\
                 ip addr add 198.18.{number}.2/30 dev wan\nip link set wan up\nip route add default via 198.18.{number}.1"
            ),
        )?;
        shell("core", &format!("ip addr add 198.18.{number}.1/30 dev {core_end}\nip link set {core_end} up"))?;
        match nat {
            Nat::Open => shell("core", &format!("ip route add 10.{number}.0.0/24 via 198.18.{number}.2"))?,
            Nat::Masquerade => hide(&router, "masquerade")?,
            Nat::Random => hide(&router, "masquerade fully-random")?,
        };
        self.sites.push(Site { name: name.to_owned(), number, machines: 0, link });
        Ok(&self.sites[number - 1])
    }

    /// Puts a machine on the bridge of a site: the name of its namespace, and its address.
    pub(super) fn machine(&mut self, site: usize, name: &str) -> Result<(String, String), String> {
        let space = format!("n-{name}");
        self.space(&space)?;
        let site = &mut self.sites[site];
        site.machines += 1;
        let (number, router, host) = (site.number, format!("r-{}", site.name), site.machines + 9);
        shell(
            &router,
            &format!("ip link add v{host} type veth peer name eth0 netns {space}\nip link set v{host} master lan up"),
        )?;
        shell(
            &space,
            &format!(
                "ip addr add 10.{number}.0.{host}/24 dev eth0\nip link set eth0 up\nip route add default via 10.{number}.0.1"
            ),
        )?;
        Ok((space, format!("10.{number}.0.{host}")))
    }

    /// The link of a site.
    pub(super) fn link(&self, site: usize) -> &Link {
        &self.sites[site].link
    }

    /// Drops what goes between two sites, in the core, both ways.
    pub(super) fn part(&self, one: usize, other: usize) -> Result<(), String> {
        let (one, other) = (self.sites[one].number, self.sites[other].number);
        let rule =
            |from, to| format!("nft add rule ip lab pass ip saddr 10.{from}.0.0/16 ip daddr 10.{to}.0.0/16 drop\n");
        shell("core", &(rule(one, other) + &rule(other, one))).map(drop)
    }

    /// Lets everything pass in the core again.
    pub(super) fn unpart(&self) -> Result<(), String> {
        shell("core", "nft flush chain ip lab pass").map(drop)
    }

    /// Sends what comes to a port of a site's router, over `udp` or `tcp`, to a machine behind it, and says at which
    /// address that is.
    pub(super) fn forward_port(&self, site: usize, over: &str, port: u16, to: &str) -> Result<String, String> {
        let site = &self.sites[site];
        let router = format!("r-{}", site.name);
        shell(&router, &format!("nft add rule ip nat pre iifname wan {over} dport {port} dnat to {to}:{port}"))?;
        Ok(format!("198.18.{}.2:{port}", site.number))
    }
}

/// Makes a router hide what is behind it. What comes unasked, to those behind it or to itself, is dropped without an answer:
/// a router that answers keeps the flow in mind, and so takes another port for the same flow the other way round.
fn hide(router: &str, how: &str) -> Result<String, String> {
    shell(
        router,
        &format!(
            "nft add table ip nat\n\
             nft add chain ip nat post '{{ type nat hook postrouting priority srcnat; }}'\n\
             nft add chain ip nat pre '{{ type nat hook prerouting priority dstnat; }}'\n\
             nft add rule ip nat post oifname wan {how}\n\
             nft add table ip guard\n\
             nft add chain ip guard pass '{{ type filter hook forward priority 0; }}'\n\
             nft add rule ip guard pass iifname wan ct status dnat accept\n\
             nft add rule ip guard pass iifname wan ct state new drop\n\
             nft add chain ip guard own '{{ type filter hook input priority 0; }}'\n\
             nft add rule ip guard own iifname wan ct state new drop"
        ),
    )
}

impl Drop for Net {
    fn drop(&mut self) {
        self.sites.clear();
        for space in &self.spaces {
            // What stays goes with the lab's own namespaces.
            let _ = Command::new("ip").args(["netns", "del", space]).output();
        }
    }
}
