//! The network: addresses that are free or held, and with a running node its clock, its mesh and its warnings.

use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::time::{Duration, SystemTime};

use hither_api::admin::{PresenceDto, ViewDto};
use hither_node::config::NodeConfig;

use super::{Area, Check, Running};

/// A certificate of a member lives for thirty days and is renewed long before; below this somebody should look.
const CERTIFICATE_LOW: Duration = Duration::from_secs(3 * 86_400);

/// QUIC begins with packets of 1200 bytes; with the headers of IPv6 and UDP these are the least that a link must pass.
const MTU_LEAST: u32 = 1280;

pub(super) fn checks(
    root: &Path,
    config: Option<&NodeConfig>,
    data_dir: &Path,
    running: Option<&Running>,
) -> Vec<Check> {
    let now = SystemTime::now();
    let written = ["incarnation", "key", "mesh.toml"].map(|name| std::fs::metadata(data_dir.join(name)));
    let newest = written.into_iter().flatten().filter_map(|meta| meta.modified().ok()).max();
    let mut checks = vec![clock(now, newest), mtu(root)];
    checks.extend(config.map(|config| reach(config.mesh_listen.ip(), running.map(|running| &running.view))));
    match running {
        Some(running) => checks.extend(mesh(&running.view, now)),
        None => {
            let found = format!("none on {}: with one, there is more to say", data_dir.display());
            checks.push(Check::ok(Area::Network, "node", found));
            let api =
                config.map(|config| port("API port", config.api_listen, TcpListener::bind(config.api_listen).err()));
            let mesh =
                config.map(|config| port("mesh port", config.mesh_listen, UdpSocket::bind(config.mesh_listen).err()));
            checks.extend(api.into_iter().chain(mesh));
        }
    }
    checks
}

/// Certificates need a clock that is about right, and the ledger one that does not run back.
fn clock(now: SystemTime, newest: Option<SystemTime>) -> Check {
    let behind = newest.and_then(|written| written.duration_since(now).ok()).unwrap_or_default();
    if behind > Duration::from_secs(60) {
        let found = format!("{} s behind what the node itself wrote last", behind.as_secs());
        return Check::fail(Area::Network, "clock", found, "timedatectl set-ntp true; then timedatectl status");
    }
    Check::ok(Area::Network, "clock", "not behind the files of the node")
}

/// Packets that a link does not pass vanish without a word.
fn mtu(root: &Path) -> Check {
    let links = std::fs::read_dir(root.join("sys/class/net")).into_iter().flatten().flatten();
    let mut small = Vec::new();
    let mut least: Option<u32> = None;
    for link in links {
        let read = |name: &str| std::fs::read_to_string(link.path().join(name)).unwrap_or_default();
        let Ok(mtu) = read("mtu").trim().parse() else { continue };
        if read("operstate").trim() == "down" {
            continue;
        }
        least = Some(least.map_or(mtu, |least| least.min(mtu)));
        if mtu < MTU_LEAST {
            small.push((link.file_name().to_string_lossy().into_owned(), mtu));
        }
    }
    match (small.first(), least) {
        (Some((name, mtu)), _) => {
            let found = format!("the link {name} passes {mtu} bytes at once, and the mesh needs {MTU_LEAST}");
            Check::warn(Area::Network, "mtu", found, format!("ip link set dev {name} mtu {MTU_LEAST}"))
        }
        (None, Some(least)) => Check::ok(Area::Network, "mtu", format!("every link passes {least} bytes or more")),
        (None, None) => Check::ok(Area::Network, "mtu", "the kernel does not tell"),
    }
}

/// Whether packets of others can get to the mesh address at all.
fn reach(listen: IpAddr, view: Option<&ViewDto>) -> Check {
    let peers = view.map_or(0, |view| view.nodes.iter().filter(|node| node.presence != PresenceDto::Here).count());
    if listen.is_loopback() {
        let found = format!("the mesh listens on {listen}: nodes of this machine alone reach it");
        return match peers {
            0 => Check::ok(Area::Network, "mesh address", found),
            _ => {
                let fix = "write [mesh] listen = \"0.0.0.0:7843\" into hither.toml, if a peer is on another machine";
                Check::warn(Area::Network, "mesh address", found, fix)
            }
        };
    }
    Check::ok(Area::Network, "mesh address", format!("the mesh listens on {listen}; UDP must pass to it"))
}

fn port(name: &'static str, address: SocketAddr, error: Option<std::io::Error>) -> Check {
    let Some(error) = error else {
        let found = if address.port() == 0 { format!("any on {}", address.ip()) } else { format!("{address} is free") };
        return Check::ok(Area::Network, name, found);
    };
    let found = format!("{address} cannot be used: {error}");
    let fix = format!("ss -lntup 'sport = :{}' shows who has it; hither.toml can name another", address.port());
    Check::fail(Area::Network, name, found, fix)
}

/// What the running node says of its mesh.
fn mesh(view: &ViewDto, now: SystemTime) -> Vec<Check> {
    let mut checks = vec![version(&view.version, env!("CARGO_PKG_VERSION")), certificate(view.me.expires_unix_ms, now)];
    let is_peer = |presence| presence != PresenceDto::Here;
    let peers: Vec<_> = view.nodes.iter().filter(|node| is_peer(node.presence)).collect();
    let gone: Vec<&str> =
        peers.iter().filter(|node| node.presence == PresenceDto::Gone).map(|node| node.member.site.as_str()).collect();
    let there = peers.len() - gone.len();
    let slowest = peers.iter().filter_map(|node| node.rtt_us).max();
    let rtt = slowest.map_or(String::new(), |us| format!(", the farthest {:.1} ms away", us as f64 / 1e3));
    let found = format!("{there} of {} peers are there{rtt}", peers.len());
    checks.push(if gone.is_empty() {
        Check::ok(Area::Network, "peers", found)
    } else {
        let fix = "hither status, there and here; UDP must pass between the mesh addresses of both";
        Check::warn(Area::Network, "peers", format!("{found}; gone: {}", gone.join(", ")), fix)
    });
    checks.extend(view.warnings.iter().map(|text| Check::warn(Area::Network, "node says", text, "hither status")));
    checks
}

fn version(node: &str, own: &str) -> Check {
    if node == own {
        return Check::ok(Area::Network, "node", format!("runs, version {node}"));
    }
    let found = format!("runs version {node}, and this program is {own}");
    Check::warn(Area::Network, "node", found, "stop the node and start it again: hither up")
}

fn certificate(expires_unix_ms: u64, now: SystemTime) -> Check {
    let end = SystemTime::UNIX_EPOCH + Duration::from_millis(expires_unix_ms);
    let left = end.duration_since(now).unwrap_or_default();
    let found = format!("{:.1} days left", left.as_secs_f64() / 86_400.0);
    let fix = "hither invite on the node that let this one in, then hither join here";
    match left {
        Duration::ZERO => Check::fail(Area::Network, "certificate", "it has ended: no peer takes this node", fix),
        left if left < CERTIFICATE_LOW => Check::warn(Area::Network, "certificate", found, fix),
        _ => Check::ok(Area::Network, "certificate", found),
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn a_port_that_is_taken_fails() {
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = held.local_addr().unwrap();
        assert_eq!(port("API port", address, TcpListener::bind(address).err()).state, State::Fail);
        assert_eq!(port("API port", "127.0.0.1:0".parse().unwrap(), None).state, State::Ok);
    }

    #[test]
    fn a_link_that_passes_too_little_is_named_unless_it_is_down() {
        let dir = tempfile::tempdir().unwrap();
        let link = |name: &str, mtu: &str, state: &str| {
            let path = dir.path().join("sys/class/net").join(name);
            std::fs::create_dir_all(&path).unwrap();
            std::fs::write(path.join("mtu"), mtu).unwrap();
            std::fs::write(path.join("operstate"), state).unwrap();
        };
        assert_eq!(mtu(dir.path()).state, State::Ok);
        link("lo", "65536\n", "unknown\n");
        link("old0", "576\n", "down\n");
        assert_eq!((mtu(dir.path()).state, mtu(dir.path()).found.contains("65536")), (State::Ok, true));
        link("tun0", "1200\n", "up\n");
        let found = mtu(dir.path());
        assert_eq!((found.state, found.fix.as_str()), (State::Warn, "ip link set dev tun0 mtu 1280"));
    }

    #[test]
    fn a_mesh_on_loopback_reaches_this_machine_alone() {
        assert!(reach([127, 0, 0, 1].into(), None).found.contains("this machine alone"));
        assert!(reach([0, 0, 0, 0].into(), None).found.contains("UDP must pass"));
    }

    #[test]
    fn clocks_certificates_and_versions_have_limits() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(10 * 86_400);
        let later = |seconds| Some(now + Duration::from_secs(seconds));
        assert_eq!((clock(now, later(5)).state, clock(now, later(3600)).state), (State::Ok, State::Fail));
        assert_eq!(clock(now, None).state, State::Ok);
        let left = |days: u64| certificate((10 + days) * 86_400_000, now).state;
        assert_eq!((left(20), left(2), left(0)), (State::Ok, State::Warn, State::Fail));
        assert_eq!((version("1.0", "1.0").state, version("1.0", "1.1").state), (State::Ok, State::Warn));
    }
}
