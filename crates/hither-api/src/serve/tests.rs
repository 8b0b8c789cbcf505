//! Over real sockets: framing, slow and broken clients, disconnection, the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use hither_engine::work::FinishReason;
use http_body_util::BodyExt;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::Connections;
use crate::limits::{DRAIN, HEAD_READ, IDLE};
use crate::routes::{self, Listener};
use crate::tests::fake::{FakeDoor, done, end, routed, tokens};

/// How often a server is ended in the midst of its work, where only some ends meet what a test is about.
const ROUNDS: u32 = 64;

struct Served {
    door: Arc<FakeDoor>,
    address: std::net::SocketAddr,
    stop: watch::Sender<bool>,
    server: JoinHandle<()>,
}

async fn serve(door: FakeDoor) -> Served {
    let door = Arc::new(door);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = watch::Sender::new(false);
    let server = tokio::spawn(super::serve_tcp(listener, Arc::clone(&door) as _, None, stop.subscribe()));
    Served { door, address, stop, server }
}

fn speaking(endless: bool) -> FakeDoor {
    let mut door = FakeDoor::new(move |_| {
        let mut answers = vec![routed(), tokens(0, &[1], "Hel")];
        if !endless {
            answers.extend([tokens(1, &[2], "lo"), end(FinishReason::Stop, ""), done()]);
        }
        Ok(answers)
    });
    door.endless = endless;
    door
}

fn chat(stream: bool) -> String {
    let body = format!(r#"{{"model":"smollm2-135m","messages":[{{"role":"user","content":"hi"}}],"stream":{stream}}}"#);
    format!("POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// Reads until this text was there.
async fn until(stream: &mut (impl AsyncReadExt + Unpin), text: &str) -> String {
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let said = String::from_utf8_lossy(&seen).into_owned();
        if said.contains(text) {
            return said;
        }
        let count = stream.read(&mut buffer).await.unwrap();
        assert!(count > 0, "the connection ended after {said:?}, before {text:?}");
        seen.extend_from_slice(&buffer[..count]);
    }
}

#[tokio::test]
async fn one_connection_carries_many_requests() {
    let served = serve(speaking(false)).await;
    let mut client = TcpStream::connect(served.address).await.unwrap();
    for _ in 0..2 {
        client.write_all(chat(true).as_bytes()).await.unwrap();
        let said = until(&mut client, "0\r\n\r\n").await;
        assert!(said.starts_with("HTTP/1.1 200 OK\r\n") && said.contains("data: [DONE]"), "{said}");
    }
    client.write_all(b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    until(&mut client, "\"hither\"").await;
}

#[tokio::test]
async fn the_first_token_is_sent_before_the_second_exists() {
    let served = serve(speaking(true)).await;
    let mut client = TcpStream::connect(served.address).await.unwrap();
    client.write_all(chat(true).as_bytes()).await.unwrap();
    let said = until(&mut client, "\"content\":\"Hel\"").await;
    assert!(!said.contains("[DONE]"));
}

#[tokio::test]
async fn a_client_that_leaves_cancels_its_request_streamed_or_not() {
    let served = serve(speaking(true)).await;
    let mut left = served.door.left.subscribe();
    let mut streaming = TcpStream::connect(served.address).await.unwrap();
    streaming.write_all(chat(true).as_bytes()).await.unwrap();
    until(&mut streaming, "Hel").await;
    drop(streaming);
    left.wait_for(|left| *left == 1).await.unwrap();

    let mut waiting = TcpStream::connect(served.address).await.unwrap();
    waiting.write_all(chat(false).as_bytes()).await.unwrap();
    while served.door.submissions.lock().unwrap().len() < 2 {
        tokio::task::yield_now().await;
    }
    drop(waiting);
    left.wait_for(|left| *left == 2).await.unwrap();
}

#[tokio::test]
async fn stopping_lets_an_open_stream_end_and_takes_no_new_ones() {
    let mut door = speaking(false);
    let go = watch::Sender::new(false);
    door.pause = Some((2, go.subscribe()));
    let served = serve(door).await;
    let mut client = TcpStream::connect(served.address).await.unwrap();
    client.write_all(chat(true).as_bytes()).await.unwrap();
    until(&mut client, "Hel").await;
    served.stop.send(true).unwrap();
    go.send(true).unwrap();
    until(&mut client, "data: [DONE]").await;
    served.server.await.unwrap();
    assert!(TcpStream::connect(served.address).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_head_that_never_ends_is_cut_off() {
    let served = serve(speaking(false)).await;
    let mut client = TcpStream::connect(served.address).await.unwrap();
    client.write_all(b"GET /v2 HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ").await.unwrap();
    let mut said = Vec::new();
    client.read_to_end(&mut said).await.unwrap();
    let said = String::from_utf8_lossy(&said);
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 4"), "{said}");
}

/// Reads until the other side hangs up, and tells how long that took.
async fn hung_up(client: &mut (impl AsyncReadExt + Unpin)) -> Duration {
    let begun = tokio::time::Instant::now();
    let _ = client.read_to_end(&mut Vec::new()).await;
    begun.elapsed()
}

/// A connection without a network: a clock that stands still does not wait for that.
async fn pipe() -> tokio::io::DuplexStream {
    // Who drops the sender stops the server: it must outlive the test.
    let stop = Box::leak(Box::new(watch::Sender::new(false)));
    let router = routes::router(Arc::new(speaking(false)), Listener::Tcp, stop.subscribe());
    let mut connections = Connections::new(router, Arc::default(), stop.subscribe());
    let (client, server) = tokio::io::duplex(4096);
    let permit = connections.room().await.unwrap();
    connections.serve(server, permit);
    tokio::spawn(async move {
        // All of it: who drops the rest of it tells connections to end.
        let mut connections = connections;
        while connections.tasks.join_next().await.is_some() {}
    });
    client
}

#[tokio::test(start_paused = true)]
async fn a_connection_may_idle_longer_than_a_head_may_take() {
    let mut silent = pipe().await;
    assert_eq!(hung_up(&mut silent).await.as_secs(), HEAD_READ.as_secs());
    let mut idle = pipe().await;
    for _ in 0..3 {
        idle.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        until(&mut idle, "ok\n").await;
        tokio::time::advance(IDLE - Duration::from_secs(1)).await;
    }
    assert_eq!(hung_up(&mut idle).await.as_secs(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_head_must_follow_soon_once_it_has_begun() {
    let mut slow = pipe().await;
    for _ in 0..2 {
        slow.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        until(&mut slow, "ok\n").await;
        tokio::time::advance(IDLE / 2).await;
    }
    for _ in 0..5 {
        slow.write_all(b"G").await.unwrap();
        tokio::time::advance(HEAD_READ / 10).await;
    }
    // From the first byte on, or from when the server took it.
    let took = hung_up(&mut slow).await;
    assert!((HEAD_READ / 2..HEAD_READ * 7 / 10).contains(&took), "{took:?}");
}

/// The head of a question that is refused for it, whatever the body says.
fn refused(length: usize) -> String {
    let head =
        "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Hither-Class: unheard-of\r\nContent-Length: ";
    format!("{head}{length}\r\n\r\n")
}

#[tokio::test(start_paused = true)]
async fn whoever_sends_its_body_a_little_after_a_head_that_is_refused_may_go_on() {
    let mut client = pipe().await;
    for _ in 0..2 {
        client.write_all(refused(5).as_bytes()).await.unwrap();
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        client.write_all(b"hello").await.unwrap();
        let said = until(&mut client, "E0").await;
        assert!(said.starts_with("HTTP/1.1 400 ") && !said.contains("connection: close"), "{said}");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_is_refused_and_does_not_send_its_body_is_told_that_the_connection_ends() {
    for length in [5, 1 << 20] {
        let mut client = pipe().await;
        client.write_all(refused(length).as_bytes()).await.unwrap();
        client.write_all(b"hell").await.unwrap();
        let said = until(&mut client, "E0").await;
        assert!(said.starts_with("HTTP/1.1 400 ") && said.contains("connection: close"), "{said}");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_before_sending_is_refused_without_its_body_and_told_that_the_connection_ends() {
    let mut client = pipe().await;
    let head = refused(5).replace("Host", "Expect: 100-continue\r\nHost");
    client.write_all(head.as_bytes()).await.unwrap();
    let said = until(&mut client, "E0").await;
    assert!(said.starts_with("HTTP/1.1 400 ") && said.contains("connection: close"), "{said}");
}

#[tokio::test]
async fn who_has_said_nothing_does_not_hold_up_the_end() {
    let served = serve(speaking(false)).await;
    let mut silent = TcpStream::connect(served.address).await.unwrap();
    let mut half = TcpStream::connect(served.address).await.unwrap();
    half.write_all(b"PRI * HT").await.unwrap();
    let mut client = TcpStream::connect(served.address).await.unwrap();
    client.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    until(&mut client, "ok\n").await;
    let begun = std::time::Instant::now();
    served.stop.send(true).unwrap();
    served.server.await.unwrap();
    assert!(begun.elapsed() < DRAIN, "the end took {:?}", begun.elapsed());
    assert!(hung_up(&mut silent).await < DRAIN && hung_up(&mut half).await < DRAIN);
}

#[tokio::test]
async fn who_connected_before_the_end_and_asks_right_after_is_answered() {
    let served = serve(speaking(false)).await;
    let asked = chat(false);
    let (some, rest) = asked.split_at(20);
    let mut late = TcpStream::connect(served.address).await.unwrap();
    // Of this one the server has heard something already.
    let mut later = TcpStream::connect(served.address).await.unwrap();
    later.write_all(some.as_bytes()).await.unwrap();
    let mut client = TcpStream::connect(served.address).await.unwrap();
    client.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    until(&mut client, "ok\n").await;
    served.stop.send(true).unwrap();
    late.write_all(asked.as_bytes()).await.unwrap();
    later.write_all(rest.as_bytes()).await.unwrap();
    for mut client in [late, later] {
        let mut said = Vec::new();
        client.read_to_end(&mut said).await.unwrap();
        let said = String::from_utf8_lossy(&said);
        assert!(said.starts_with("HTTP/1.1 ") && said.contains("connection: close"), "{said}");
    }
    served.server.await.unwrap();
}

/// Asks until nobody listens, and counts the answers.
fn asks<S: std::io::Read + std::io::Write>(
    connect: impl Fn() -> std::io::Result<S>,
    answered: &AtomicU32,
) -> std::io::Result<()> {
    let question = chat(false).replace("Host", "Connection: close\r\nHost");
    while let Ok(mut client) = connect() {
        client.write_all(question.as_bytes())?;
        let mut answer = String::new();
        client.read_to_string(&mut answer)?;
        assert!(answer.starts_with("HTTP/1.1 "), "{answer:?}");
        answered.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// Ends a server while four ask it without a pause.
async fn end_while_asked<S: std::io::Read + std::io::Write>(
    connect: impl Fn() -> std::io::Result<S> + Clone + Send + 'static,
    end: impl AsyncFnOnce(),
) {
    let answered = Arc::new(AtomicU32::new(0));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (connect, answered) = (connect.clone(), Arc::clone(&answered));
            tokio::task::spawn_blocking(move || asks(connect, &answered))
        })
        .collect();
    while answered.load(Ordering::Relaxed) < 8 {
        tokio::task::yield_now().await;
    }
    end().await;
    for client in clients {
        client.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_connects_while_it_stops_is_answered_or_not_let_in_but_never_cut_off() {
    let rounds = (0..ROUNDS).map(async |_| {
        let Served { address, stop, server, .. } = serve(speaking(false)).await;
        end_while_asked(
            move || std::net::TcpStream::connect(address),
            async || {
                stop.send(true).unwrap();
                server.await.unwrap();
            },
        )
        .await;
    });
    futures_util::future::join_all(rounds).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_connects_to_the_unix_socket_while_it_stops_is_answered_or_not_let_in_but_never_cut_off() {
    let directory = std::env::temp_dir().join(format!("hither-api-end-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    for round in 0..ROUNDS {
        let path = directory.join(round.to_string());
        let listener = UnixListener::bind(&path).unwrap();
        let (door, stop) = (Arc::new(speaking(false)), watch::Sender::new(false));
        let server = tokio::spawn(super::serve_unix(listener, door, stop.subscribe()));
        end_while_asked(
            move || std::os::unix::net::UnixStream::connect(&path),
            async || {
                stop.send(true).unwrap();
                server.await.unwrap();
            },
        )
        .await;
    }
    std::fs::remove_dir_all(&directory).unwrap();
}

#[tokio::test]
async fn http2_is_spoken_on_the_same_port() {
    let served = serve(speaking(false)).await;
    let stream = TokioIo::new(TcpStream::connect(served.address).await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let ask = |path: &str, body: &str| {
        let request = hyper::Request::post(format!("http://127.0.0.1{path}"));
        request.body(http_body_util::Full::new(bytes::Bytes::from(body.to_owned()))).unwrap()
    };
    let body = r#"{"model":"smollm2-135m","messages":[{"role":"user","content":"hi"}],"stream":true}"#;
    let answered = sender.send_request(ask("/v1/chat/completions", body)).await.unwrap();
    assert_eq!((answered.status(), answered.version()), (hyper::StatusCode::OK, hyper::Version::HTTP_2));
    let said = answered.into_body().collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&said).ends_with("data: [DONE]\n\n"), "{said:?}");
    let foreign = hyper::Request::get("http://elsewhere.example/v2").body(http_body_util::Full::default()).unwrap();
    assert_eq!(sender.send_request(foreign).await.unwrap().status(), hyper::StatusCode::FORBIDDEN);
    drop(sender);
    connection.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_head_beyond_its_bounds_is_refused() {
    for head in [
        format!("GET /v2 HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Long: {}\r\n\r\n", "a".repeat(1_000_000)),
        format!("GET /v2 HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{}\r\n", "X-Many: a\r\n".repeat(101)),
        "NONSENSE\r\n\r\n".to_owned(),
    ] {
        let served = serve(speaking(false)).await;
        let mut client = TcpStream::connect(served.address).await.unwrap();
        // The server may hang up before all was sent.
        let _ = client.write_all(head.as_bytes()).await;
        let mut said = Vec::new();
        let _ = client.read_to_end(&mut said).await;
        let said = String::from_utf8_lossy(&said);
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 4"), "{}: {said}", &head[..60.min(head.len())]);
        let mut next = TcpStream::connect(served.address).await.unwrap();
        next.write_all(b"GET /v2 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").await.unwrap();
        until(&mut next, "200 OK").await;
    }
}

#[tokio::test]
async fn small_writes_are_not_delayed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = watch::Sender::new(false);
    let door = Arc::new(speaking(false));
    let server = tokio::spawn(super::serve_tcp(listener, door as _, None, stop.subscribe()));
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(chat(true).as_bytes()).await.unwrap();
    let begun = std::time::Instant::now();
    until(&mut client, "[DONE]").await;
    // Nagle's algorithm against delayed acknowledgements costs at least 40 ms a stream; this takes well under 5.
    let took = begun.elapsed();
    assert!(took < std::time::Duration::from_millis(35), "{took:?}");
    stop.send(true).unwrap();
    server.await.unwrap();
}

#[tokio::test]
async fn the_unix_socket_takes_commands() {
    let directory = std::env::temp_dir().join(format!("hither-api-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("api.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let stop = watch::Sender::new(false);
    let door = Arc::new(speaking(false));
    let server = tokio::spawn(super::serve_unix(listener, Arc::clone(&door) as _, stop.subscribe()));
    let mut client = UnixStream::connect(&path).await.unwrap();
    let request = "POST /hither/v1/power HTTP/1.1\r\nHost: node\r\nContent-Length: 12\r\n\r\n{\"cap_w\":40}";
    client.write_all(request.as_bytes()).await.unwrap();
    until(&mut client, "{\"message\":\"done\"}").await;
    assert_eq!(*door.commands.lock().unwrap(), ["SetCap(Milliwatts(40000))"]);
    stop.send(true).unwrap();
    server.await.unwrap();
    std::fs::remove_dir_all(&directory).unwrap();
}
