//! Over real sockets: framing, slow and broken clients, disconnection, the end.

use std::sync::Arc;

use hither_engine::work::FinishReason;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::tests::fake::{FakeDoor, done, end, routed, tokens};

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
    let server = tokio::spawn(super::serve_tcp(listener, Arc::clone(&door) as _, stop.subscribe()));
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
    let server = tokio::spawn(super::serve_tcp(listener, door as _, stop.subscribe()));
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
