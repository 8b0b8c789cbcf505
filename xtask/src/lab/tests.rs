//! The lab's own network, where this machine lets one be made.

use super::*;

/// Says that tests go without a lab: on a machine that lets none be made.
const WITHOUT: &str = "HITHER_WITHOUT_LAB";

/// A test runs again inside of namespaces, since its process cannot leave them; there it says this.
const HELD: &str = "the network of the lab is as it was shaped";

#[test]
fn two_sites_reach_one_another_through_the_emulator_and_not_when_it_is_cut() {
    if std::env::var_os(INSIDE).is_some() {
        let lab = Lab {
            hither: PathBuf::new(),
            previous: None,
            scratch: PathBuf::from(FILES).join("lab"),
            logs: PathBuf::from(FILES).join("logs"),
            seed: 1,
            quick: true,
            broken: false,
        };
        settle(&lab, &[("nft", "nftables")]).unwrap();
        sites();
        println!("{HELD}");
        return;
    }
    // A machine that cannot is not one that held: it says so, unless whoever runs this said it first.
    let needed = "ip link add one type veth peer name two && test -w /dev/net/tun && nft --version";
    let possible = isolated().args(["sh", "-c", needed]).output();
    if !possible.as_ref().is_ok_and(|done| done.status.success()) {
        assert!(
            std::env::var_os(WITHOUT).is_some(),
            "this machine has no lab: scripts/setup test installs what it needs, and {WITHOUT}=1 does without; {possible:?}"
        );
        println!("not run: {WITHOUT} is set");
        return;
    }
    let name = "lab::tests::two_sites_reach_one_another_through_the_emulator_and_not_when_it_is_cut";
    let this = std::env::current_exe().unwrap();
    let done = isolated().arg(this).args(["--exact", name, "--nocapture"]).env(INSIDE, "1").output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && said.contains(HELD), "{said}");
}

/// One byte there and back over UDP, within a bound that is for a machine that hangs.
fn echo(from: &str, to: &str, address: &str, bound: Duration) -> Option<Duration> {
    let server = net::within(to, || std::net::UdpSocket::bind(format!("{address}:9")).unwrap()).unwrap();
    server.set_read_timeout(Some(bound)).unwrap();
    let client = net::within(from, || std::net::UdpSocket::bind("0.0.0.0:0").unwrap()).unwrap();
    client.set_read_timeout(Some(bound)).unwrap();
    let mut byte = [0];
    let began = Instant::now();
    client.send_to(&[7], format!("{address}:9")).unwrap();
    let (_, back) = server.recv_from(&mut byte).ok()?;
    server.send_to(&byte, back).unwrap();
    client.recv(&mut byte).ok()?;
    Some(began.elapsed())
}

fn sites() {
    let mut net = net::Net::new(1).unwrap();
    net.site("a", queue::Shape::delay_ms(10), net::Nat::Masquerade).unwrap();
    net.site("b", queue::Shape::delay_ms(10), net::Nat::Open).unwrap();
    let (a, hidden) = net.machine(0, "a").unwrap();
    let (b, address) = net.machine(1, "b").unwrap();
    let long = Duration::from_secs(20);
    // Four times ten milliseconds at least; how much more is the machine's business.
    let took = echo(&a, &b, &address, long).expect("an answer");
    assert!(took >= Duration::from_millis(40), "{took:?}");
    assert_eq!(net.link(0).counts().map(|counts| counts.passed), [1, 1]);
    // Nobody gets in through a NAT unasked.
    assert!(net::shell(&b, &format!("ip route get {hidden}")).is_ok());
    assert_eq!(echo(&b, &a, &hidden, Duration::from_millis(300)), None);
    net.link(0).change(link::Way::Out, |shape| shape.cut = true);
    assert_eq!(echo(&a, &b, &address, Duration::from_millis(300)), None);
    net.link(0).change(link::Way::Out, |shape| shape.cut = false);
    assert!(echo(&a, &b, &address, long).is_some());
    net.part(0, 1).unwrap();
    net.unpart().unwrap();
    assert!(echo(&a, &b, &address, long).is_some());
}
