//! A client that writes its head and its body apart, and is refused for its head.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::{HI, open};

/// Reads until this text was there.
async fn until(stream: &mut TcpStream, text: &str) {
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains(text) {
        let mut buffer = [0; 4096];
        let count = stream.read(&mut buffer).await.unwrap();
        assert!(count > 0, "the connection ended after {:?}, before {text:?}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&buffer[..count]);
    }
}

#[tokio::test]
async fn a_refusal_is_read_by_who_sends_the_body_late_and_the_connection_goes_on() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = watch::Sender::new(false);
    let server = tokio::spawn(crate::serve_tcp(listener, Arc::new(open()), None, stop.subscribe()));
    let mut client = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nx-api-key: hk_wrong\r\nContent-Length: {}\r\n\r\n",
        HI.len()
    );
    client.write_all(head.as_bytes()).await.unwrap();
    // The head is read before the body is sent: others have come and gone since.
    for _ in 0..3 {
        let mut other = TcpStream::connect(address).await.unwrap();
        other.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        until(&mut other, "ok\n").await;
    }
    client.write_all(HI.as_bytes()).await.unwrap();
    until(&mut client, "invalid_api_key").await;
    client.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    until(&mut client, "ok\n").await;
    stop.send(true).unwrap();
    drop(client);
    server.await.unwrap();
}
