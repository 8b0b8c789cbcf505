//! Answers as servers send them, in pieces of every size.

use std::io::Write;
use std::net::TcpListener;
use std::time::Duration;

use super::{ask, post};

const PATIENCE: Duration = Duration::from_secs(20);

/// What a client makes of these bytes, if they come in pieces of `size`.
fn heard(bytes: &'static str, size: usize) -> (u16, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it has an address");
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client comes");
        for piece in bytes.as_bytes().chunks(size) {
            stream.write_all(piece).expect("the client takes it");
        }
        stream
    });
    let answer = ask(address, &post("/", b"{}"), PATIENCE);
    // Kept open until here, unless the end of the connection is the end of the answer.
    drop(server.join());
    let answer = answer.expect("an answer");
    (answer.status, String::from_utf8(answer.body).expect("text"))
}

#[test]
fn an_answer_is_whole_in_whatever_pieces_it_comes() {
    let length = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    let chunks = "HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=1\r\nlo\r\n0\r\n\r\n";
    for size in [1, 2, 7, 1000] {
        assert_eq!(heard(length, size), (200, "hello".to_owned()));
        assert_eq!(heard(chunks, size), (503, "hello".to_owned()));
    }
}

#[test]
fn what_is_cut_off_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it has an address");
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client comes");
        // Read first: a connection that is dropped with bytes unread is reset, and that is another error.
        let _read = std::io::Read::read(&mut stream, &mut [0; 1024]);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel").expect("the client takes it");
    });
    let answer = ask(address, &post("/", b"{}"), PATIENCE);
    server.join().expect("the server ends");
    assert!(answer.is_err_and(|error| error.contains("before the answer was whole")));
}
