//! A relay that has not the key that is expected is not spoken to.

use rustls::{ClientConnection, ServerConnection};

use super::*;

/// Lets a client that expects `pinned` at an address meet a server with the key of `serves`.
fn shake(pinned: &[(IpAddr, NodeId)], serves: u8) -> Result<(), rustls::Error> {
    let secret = [serves; 32];
    let node = node_of(serves);
    let server = of_server(&secret, node).expect("a configuration");
    let pins = Arc::new(Pins::default());
    pins.replace(pinned.iter().copied());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = of_client(pins).client_config(provider).expect("a configuration");
    let name = ServerName::from(loopback());
    let mut client = ClientConnection::new(Arc::new(client), name).expect("a client");
    let mut server = ServerConnection::new(Arc::new(server)).expect("a server");
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).expect("written");
        server.read_tls(&mut wire.as_slice()).expect("read");
        server.process_new_packets()?;
        let mut wire = Vec::new();
        server.write_tls(&mut wire).expect("written");
        client.read_tls(&mut wire.as_slice()).expect("read");
        client.process_new_packets()?;
    }
    Ok(())
}

fn loopback() -> IpAddr {
    [127, 0, 0, 1].into()
}

fn node_of(secret: u8) -> NodeId {
    NodeId(*iroh::SecretKey::from_bytes(&[secret; 32]).public().as_bytes())
}

#[test]
fn the_key_that_is_expected_is_believed_and_no_other() {
    let (here, there): (IpAddr, IpAddr) = (loopback(), [192, 0, 2, 1].into());
    shake(&[(here, node_of(1))], 1).expect("the right key");
    shake(&[(here, node_of(2)), (here, node_of(1))], 1).expect("one of the right keys");
    for wrong in [vec![], vec![(here, node_of(2))], vec![(there, node_of(1))]] {
        assert!(shake(&wrong, 1).is_err(), "{wrong:?}");
    }
}
