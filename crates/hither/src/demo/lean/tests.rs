//! Tests of the client that measures.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::Duration;

use super::{Lean, timing};

/// Answers one connection with these bytes, in these pieces, each after a request came.
fn serve(answers: Vec<Vec<&'static [u8]>>) -> std::net::SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_nodelay(true).unwrap();
        for pieces in answers {
            let mut request = [0; 1024];
            assert!(stream.read(&mut request).unwrap() > 0);
            pieces.into_iter().for_each(|piece| stream.write_all(piece).unwrap());
        }
    });
    address
}

#[test]
fn one_connection_takes_many_answers_in_any_pieces() {
    let address = serve(vec![
        vec![
            b"HTTP/1.1 200 OK\r\nContent-Len",
            b"gth: 2\r\nServer-Timing: queue;dur=0, prefill;dur=0.25\r\n\r",
            b"\n{",
            b"}",
        ],
        vec![b"HTTP/1.1 451 No\r\ncontent-length: 0\r\n\r\n"],
    ]);
    let mut lean = Lean::connect(address).unwrap();
    let answer = lean.call(b"x").unwrap();
    assert_eq!((answer.status, answer.body), (200, &b"{}"[..]));
    assert_eq!(answer.timing("prefill"), Some(Duration::from_micros(250)));
    let answer = lean.call(b"y").unwrap();
    assert_eq!((answer.status, answer.body), (451, &b""[..]));
    assert_eq!(answer.timing("prefill"), None);
    assert!(lean.call(b"z").is_err(), "the node has gone");
}

#[test]
fn only_the_metric_that_is_asked_for_counts() {
    assert_eq!(timing("prefill_x;dur=3, prefill;desc=\"a\";dur=1.5", "prefill"), Some(Duration::from_micros(1500)));
    assert_eq!(timing("queue;dur=3", "prefill"), None);
    assert_eq!(timing("prefill;dur=NaN", "prefill"), None);
}
