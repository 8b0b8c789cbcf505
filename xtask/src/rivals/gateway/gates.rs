//! What stands in front of OpenAI-compatible servers, each at its best settings: haproxy, nginx, vllm-router, sglang-router,
//! and a node whose places they are.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use super::NODE;
use super::http1::post;
use super::process::{Running, node};
use crate::rivals::Setting;
use crate::rivals::run::port;

pub(super) const HAPROXY: &str = "haproxy";
pub(super) const NGINX: &str = "nginx";
pub(super) const VLLM: &str = "vllm-router";
pub(super) const SGLANG: &str = "sglang-router";

/// A language model may think for as long before it says anything.
const ANSWER_MAX_S: u32 = 60;

/// What is asked of all of them.
pub(super) const CHAT: &str = r#"{"model":"assistant","messages":[{"role":"user","content":"How is the pump?"}]}"#;

/// The same as a stream.
pub(super) const CHAT_STREAM: &str =
    r#"{"model":"assistant","stream":true,"messages":[{"role":"user","content":"How is the pump?"}]}"#;

/// Where.
pub(super) const CHAT_PATH: &str = "/v1/chat/completions";

/// How each is set up.
pub(super) const SETTINGS: &str = "haproxy: one thread for each processor, connections to backends kept and shared (`http-reuse always`), no delay, no log; a \
     check every 250 ms, two missed ones and a backend is out; what failed before an answer began is sent once more, to another. \
     nginx: a process for each processor, 64 kept connections each, no log, no buffering, two tries; its free version has no \
     checks of its own. vllm-router and sglang-router: round robin, log of errors alone, a check each second, one missed one and \
     a worker is out. All wait 60 s for an answer, as a language model may need";

/// Starts one of them before these backends.
///
/// # Errors
/// It is not there, or does not answer.
pub(super) fn gate(setting: &Setting, who: &str, name: &str, backends: &[SocketAddr]) -> Result<Running, String> {
    let port = port()?;
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let log = setting.scratch.join(format!("{name}-{who}.log"));
    let path = setting.scratch.join(format!("{name}-{who}.cfg"));
    let shown = path.display().to_string();
    let write = |text: String| std::fs::write(&path, text).map_err(|error| format!("{shown}: {error}"));
    let mut command = match who {
        HAPROXY => {
            write(haproxy(address, backends))?;
            let mut command = Command::new("haproxy");
            command.args(["-db", "-f", &shown]);
            command
        }
        NGINX => {
            write(nginx(address, backends, &setting.scratch, name))?;
            let mut command = Command::new("nginx");
            command.args(["-c", &shown]);
            command
        }
        VLLM | SGLANG => router(setting, who, port, backends)?,
        _ => return node(setting, &format!("{name}-node"), &endpoints(backends), &[]),
    };
    Running::start(&mut command, &log, &|| Some(address), &post(CHAT_PATH, CHAT.as_bytes()))
}

/// Threads of a server that asks how many it may have.
fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn haproxy(address: SocketAddr, backends: &[SocketAddr]) -> String {
    let mut text = format!(
        "global\n  no strict-limits\n  maxconn 16000\n  nbthread {}\n\
         defaults\n  mode http\n  option http-keep-alive\n  option http-no-delay\n  option redispatch 1\n  retries 1\n\
         \x20 retry-on all-retryable-errors\n  timeout connect 1s\n  timeout client 120s\n  timeout http-keep-alive 120s\n\
         \x20 timeout server {ANSWER_MAX_S}s\n  timeout check 250ms\n\
         frontend front\n  bind {address}\n  default_backend back\n\
         backend back\n  balance roundrobin\n  http-reuse always\n  option httpchk GET /health\n",
        processors()
    );
    for (number, backend) in backends.iter().enumerate() {
        let _ = writeln!(text, "  server s{number} {backend} check inter 250ms fall 2 rise 1");
    }
    text
}

fn nginx(address: SocketAddr, backends: &[SocketAddr], scratch: &Path, name: &str) -> String {
    let mut servers = String::new();
    for backend in backends {
        let _ = write!(servers, " server {backend} max_fails=1 fail_timeout=10s;");
    }
    let temporary = scratch.join(format!("{name}-nginx"));
    let folder = |kind: &str| format!("{kind}_temp_path {}-{kind};", temporary.display());
    let folders: Vec<String> = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(folder).to_vec();
    format!(
        "daemon off; user root; worker_processes {}; pid {}.pid; error_log stderr error;\n\
         events {{ worker_connections 16000; }}\n\
         http {{ access_log off; tcp_nodelay on; keepalive_requests 100000000; keepalive_timeout 120s; {}\n\
         upstream back {{{servers} keepalive 64; keepalive_requests 100000000; }}\n\
         server {{ listen {address} backlog=4096; location / {{ proxy_pass http://back; proxy_http_version 1.1;\n\
         proxy_set_header Connection \"\"; proxy_buffering off; proxy_connect_timeout 1s; proxy_read_timeout {ANSWER_MAX_S}s;\n\
         proxy_next_upstream error timeout non_idempotent; proxy_next_upstream_tries 2; }} }} }}\n",
        processors(),
        temporary.display(),
        folders.join(" "),
    )
}

fn router(setting: &Setting, who: &str, at: u16, backends: &[SocketAddr]) -> Result<Command, String> {
    let mut command = Command::new(setting.rivals.join(who).join("bin").join(who));
    if who == SGLANG {
        command.arg("launch");
    }
    command.args(["--host", "127.0.0.1", "--port", &at.to_string(), "--policy", "round_robin", "--worker-urls"]);
    command.args(backends.iter().map(|backend| format!("http://{backend}")));
    command.args(["--log-level", "error", "--prometheus-port", &port()?.to_string()]);
    command.args(["--request-timeout-secs", &ANSWER_MAX_S.to_string(), "--health-check-interval-secs", "1"]);
    command.args(["--health-check-timeout-secs", "1", "--health-failure-threshold", "1"]);
    // They would ask a registry for a tokenizer otherwise.
    command.env("HF_HUB_OFFLINE", "1");
    Ok(command)
}

fn endpoints(backends: &[SocketAddr]) -> String {
    let mut text = String::new();
    for (number, backend) in backends.iter().enumerate() {
        let _ = write!(
            text,
            "[endpoint.lab{number}]\nurl = \"http://{backend}\"\nmodels = [\"assistant\"]\nat_once = 64\n\n"
        );
    }
    text
}

/// All of them.
pub(super) const GATES: [&str; 5] = [HAPROXY, NGINX, VLLM, SGLANG, NODE];
