//! Who else can bring a file to many machines: programs of BitTorrent, and one HTTP server. Each runs on the machines and
//! behind the lines on which our nodes were, at the settings that were found best for it.
//!
//! What must stay true: whoever is not installed is said not to have run, and how it is installed.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::super::hall::Hall;
use super::super::usage::{micros, tree};
use super::tracker::{Tracker, torrent};
use super::{Meter, Ran};
use crate::lab::net::{command, within};

/// A server and its clients send for so long at most; what is left is reckoned from what came.
const SERVED: Duration = Duration::from_secs(20);

/// How often it is looked who has the file.
const LOOK: Duration = Duration::from_millis(20);

/// How long whoever has the file may take to begin.
const BEGINS: Duration = Duration::from_secs(60);

/// Of a torrent: as many pieces as our files have chunks.
const PIECES: u64 = 256;

/// One machine of a race.
pub(super) struct Place<'a> {
    pub(super) space: &'a str,
    pub(super) address: &'a str,
}

/// What all who run on a machine are given.
struct Client<'a> {
    dir: &'a Path,
    torrent: &'a Path,
    /// What they call when they have the file.
    hook: &'a Path,
    /// Whether they have it from the beginning.
    holds: bool,
    /// Where the only server is.
    server: &'a str,
}

/// A program that is compared.
pub(super) struct Rival {
    pub(super) name: &'static str,
    /// How it is installed.
    pub(super) install: &'static str,
    /// What is said of its settings.
    pub(super) settings: &'static str,
    /// A line of a shell that holds where it is installed.
    check: &'static str,
    /// Its words; `None` for whoever has the file and serves nobody.
    words: fn(&Client) -> Vec<String>,
    /// Whether everybody gives; else one server does.
    swarms: bool,
}

pub(super) const RIVALS: &[Rival] = &[
    Rival {
        name: "aria2c",
        install: "Debian: aria2",
        settings: "peers without a limit, no DHT and no local discovery (the tracker knows all), peer exchange, no encryption, \
                   no limit of rate or ratio, a disk cache of 64 MB",
        check: "command -v aria2c",
        words: aria2c,
        swarms: true,
    },
    Rival {
        name: "libtorrent",
        install: "Debian: python3-libtorrent",
        settings: "high_performance_seed, upload slots without a limit, TCP alone, no encryption, no DHT and no local discovery",
        check: "/usr/bin/python3 -c 'import libtorrent'",
        words: libtorrent,
        swarms: true,
    },
    Rival {
        name: "transmission",
        install: "Debian: transmission-cli",
        settings: "240 peers, 24 upload slots, TCP alone, encryption only if wanted, no DHT and no local discovery",
        check: "command -v transmission-cli",
        words: transmission,
        swarms: true,
    },
    Rival {
        name: "rqbit",
        install: "cargo install rqbit",
        settings: "200 peers, asks the tracker every 3 s, no DHT, no local discovery and no port mapping",
        check: "command -v rqbit",
        words: rqbit,
        swarms: true,
    },
    Rival {
        name: "nginx and curl",
        install: "Debian: nginx-light, curl",
        settings: "sendfile, one connection for each client, all at once from the one server",
        check: "command -v nginx && command -v curl",
        words: curl,
        swarms: false,
    },
];

fn text(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn aria2c(client: &Client) -> Vec<String> {
    let mut words =
        text(&["aria2c", "--quiet", "--no-conf", "--file-allocation=none", "--disk-cache=64M", "--bt-max-peers=0"]);
    words.extend(text(&[
        "--bt-request-peer-speed-limit=100M",
        "--seed-ratio=0.0",
        "--enable-dht=false",
        "--enable-dht6=false",
    ]));
    words.extend(text(&[
        "--bt-enable-lpd=false",
        "--enable-peer-exchange=true",
        "--bt-tracker-interval=3",
        "--listen-port=6881",
    ]));
    words.extend(text(&["--max-overall-upload-limit=0", "--bt-min-crypto-level=plain", "--bt-require-crypto=false"]));
    words.extend(text(&["--disable-ipv6=true", "--bt-max-open-files=16"]));
    if client.holds {
        words.push("--check-integrity=true".to_owned());
    }
    words.push(format!("--dir={}", client.dir.display()));
    words.push(format!("--on-bt-download-complete={}", client.hook.display()));
    words.push(client.torrent.display().to_string());
    words
}

/// Brings its file and gives it on for as long as it lives.
const LIBTORRENT: &str = r#"
import libtorrent, sys
torrent, folder, holds = sys.argv[1:]
settings = libtorrent.high_performance_seed()
settings.update({
    "listen_interfaces": "0.0.0.0:6881", "enable_dht": False, "enable_lsd": False, "enable_upnp": False,
    "enable_natpmp": False, "enable_outgoing_utp": False, "enable_incoming_utp": False,
    "out_enc_policy": int(libtorrent.enc_policy.disabled), "in_enc_policy": int(libtorrent.enc_policy.disabled),
    "unchoke_slots_limit": -1, "connections_limit": 500, "connection_speed": 500, "torrent_connect_boost": 200,
    "min_announce_interval": 3, "min_reconnect_time": 1, "aio_threads": 1, "hashing_threads": 1, "announce_to_all_trackers": True,
    "allow_multiple_connections_per_ip": True, "alert_mask": int(libtorrent.alert.category_t.status_notification),
})
session = libtorrent.session(settings)
wanted = libtorrent.add_torrent_params()
wanted.ti = libtorrent.torrent_info(torrent)
wanted.save_path = folder
if holds == "holds":
    wanted.flags |= libtorrent.torrent_flags.seed_mode
wanted.flags &= ~(libtorrent.torrent_flags.auto_managed | libtorrent.torrent_flags.paused)
session.add_torrent(wanted)
while True:
    session.wait_for_alert(10000)
    if any(isinstance(alert, libtorrent.torrent_finished_alert) for alert in session.pop_alerts()):
        open(folder + "/done", "w").close()
"#;

fn libtorrent(client: &Client) -> Vec<String> {
    let mut words = text(&["/usr/bin/python3", "-c", LIBTORRENT]);
    words.extend([client.torrent.display().to_string(), client.dir.display().to_string()]);
    words.push(if client.holds { "holds" } else { "wants" }.to_owned());
    words
}

/// What transmission reads when it starts.
const TRANSMISSION: &str = r#"{
"dht-enabled": false, "lpd-enabled": false, "utp-enabled": false, "pex-enabled": true, "encryption": 0,
"peer-limit-global": 1000, "peer-limit-per-torrent": 240, "upload-slots-per-torrent": 24, "cache-size-mb": 64,
"ratio-limit-enabled": false, "speed-limit-up-enabled": false, "speed-limit-down-enabled": false, "preallocation": 0,
"rename-partial-files": false, "port-forwarding-enabled": false, "rpc-enabled": false, "prefetch-enabled": true
}"#;

fn transmission(client: &Client) -> Vec<String> {
    let home = client.dir.join("home");
    // Without it transmission-cli runs with what it thinks best, and takes longer.
    let _ = std::fs::create_dir_all(&home).and_then(|()| std::fs::write(home.join("settings.json"), TRANSMISSION));
    let mut words = text(&["transmission-cli", "-M", "-D", "-U", "-et", "-p", "6881"]);
    if client.holds {
        words.push("-v".to_owned());
    }
    for (word, path) in [("-g", &*home), ("-w", client.dir), ("-f", client.hook)] {
        words.extend([word.to_owned(), path.display().to_string()]);
    }
    words.push(client.torrent.display().to_string());
    words
}

fn rqbit(client: &Client) -> Vec<String> {
    // It says nothing when it has the file; its own interface is asked.
    let script = format!(
        "rqbit -v warn --ipv4-only --disable-dht --disable-lsd --disable-upnp-port-forward --listen-port 6881 -i 3s \
         --http-api-listen-addr 127.0.0.1:3030 --peer-limit 200 download --overwrite --output-folder {dir} {torrent} >{dir}/log 2>&1 &\n\
         until curl --silent http://127.0.0.1:3030/torrents/0/stats/v1 | grep --quiet '\"finished\": *true'; do sleep 0.1; done\n\
         : >{dir}/done\nwait",
        dir = client.dir.display(),
        torrent = client.torrent.display()
    );
    vec!["sh".to_owned(), "-c".to_owned(), script]
}

fn curl(client: &Client) -> Vec<String> {
    let dir = client.dir.display();
    if client.holds {
        let settings = format!(
            "daemon off; worker_processes 2; pid {dir}/pid; error_log stderr; user root; events {{ worker_connections 1024; }} \
             http {{ access_log off; sendfile on; tcp_nopush on; client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; \
             fastcgi_temp_path {dir}/fast; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s; \
             server {{ listen 8000; root {dir}; }} }}"
        );
        let file = client.dir.join("nginx.conf");
        // nginx itself says what is wrong if it is not there.
        let _ = std::fs::write(&file, settings);
        return ["nginx", "-p", &dir.to_string(), "-c", &file.display().to_string()].map(str::to_owned).to_vec();
    }
    let fetch =
        format!("curl --silent --fail --output {dir}/model http://{}:8000/model && : >{dir}/done", client.server);
    vec!["sh".to_owned(), "-c".to_owned(), fetch]
}

impl Rival {
    /// Whether it is installed.
    pub(super) fn is_here(&self) -> bool {
        let found = Command::new("sh").args(["-c", self.check]).stdout(Stdio::null()).stderr(Stdio::null()).status();
        found.is_ok_and(|status| status.success())
    }

    /// Lets it bring a file from the first of these machines to all others.
    pub(super) fn race(
        &self,
        (hall, places): (&Hall, &[Place]),
        (file, scratch): (&Path, &Path),
        patience: Duration,
    ) -> Result<Ran, String> {
        let scratch = scratch.join(self.name.replace(' ', "-"));
        let done = self.run((hall, places), (file, &scratch), patience);
        // What stays takes memory until the run ends.
        let _ = std::fs::remove_dir_all(&scratch);
        done.map_err(|error| format!("{}: {error}", self.name))
    }

    fn run(
        &self,
        (hall, places): (&Hall, &[Place]),
        (file, scratch): (&Path, &Path),
        patience: Duration,
    ) -> Result<Ran, String> {
        let (listener, announce) = hall.listen()?;
        let length = std::fs::metadata(file).map_err(|error| format!("{}: {error}", file.display()))?.len();
        let dirs: Vec<PathBuf> = (0..places.len()).map(|at| scratch.join(at.to_string())).collect();
        for dir in &dirs {
            std::fs::create_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        }
        std::fs::hard_link(file, dirs[0].join("model")).map_err(|error| format!("a link to the file: {error}"))?;
        let (meta, hook) = (scratch.join("model.torrent"), scratch.join("hook"));
        let bytes = torrent(file, &format!("http://{announce}/announce"), (length / PIECES).next_power_of_two())?;
        let script = "#!/bin/sh\n: >\"${TR_TORRENT_DIR:-${3%/*}}/done\"\n";
        std::fs::write(&meta, bytes)
            .and_then(|()| std::fs::write(&hook, script))
            .and_then(|()| std::fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)))
            .map_err(|error| format!("{}: {error}", scratch.display()))?;
        let begin = |at: usize| {
            let client =
                Client { dir: &dirs[at], torrent: &meta, hook: &hook, holds: at == 0, server: places[0].address };
            Running::start(places[at].space, &client, (self.words)(&client))
        };
        let tracker = Tracker::default();
        std::thread::scope(|scope| {
            scope.spawn(|| tracker.serve(&listener));
            let ran = (|| {
                let mut running = vec![begin(0)?];
                let began = || if self.swarms { tracker.has_seed() } else { listens(&places[0]) };
                super::super::wait("whoever has the file begins", BEGINS, || began().then_some(()))
                    .map_err(|error| format!("{error}: {}", said(&dirs[..1])))?;
                let meter = Meter::start(hall)?;
                for at in 1..places.len() {
                    running.push(begin(at)?);
                }
                self.watch(&meter, (&running, &dirs), (length, patience))
                    .map(|ran| meter.read(hall, ran, spent(&running)))?
            })();
            tracker.end();
            ran
        })
    }

    /// Looks who has the file, until all have.
    fn watch(
        &self,
        meter: &Meter,
        (running, dirs): (&[Running], &[PathBuf]),
        (length, patience): (u64, Duration),
    ) -> Result<Came, String> {
        let mut took = vec![None; running.len() - 1];
        let patience = if self.swarms { patience } else { SERVED };
        while took.contains(&None) && meter.since.elapsed() < patience {
            for (took, dir) in took.iter_mut().zip(&dirs[1..]) {
                if took.is_none() && dir.join("done").exists() {
                    *took = Some(meter.since.elapsed().as_secs_f64());
                }
            }
            std::thread::sleep(LOOK);
        }
        let here = took.iter().flatten().count();
        if let Some(took) = took.iter().copied().collect::<Option<Vec<f64>>>() {
            return Ok(Came::All(took));
        }
        let long = |dir: &PathBuf| std::fs::metadata(dir.join("model")).map_or(0, |file| file.len());
        let came: u64 = dirs[1..].iter().map(long).sum();
        if self.swarms && here > 0 {
            return Ok(Came::Beyond(meter.since.elapsed().as_secs_f64(), here));
        }
        if self.swarms || came == 0 {
            return Err(format!(
                "{here} of {} have the file after {:.0} s: {}",
                took.len(),
                patience.as_secs_f64(),
                said(dirs)
            ));
        }
        let whole = length * (running.len() - 1) as u64;
        Ok(Came::Rate(meter.since.elapsed().as_secs_f64() * whole as f64 / came as f64))
    }
}

/// What a race came to, in seconds.
pub(super) enum Came {
    /// When each had the file.
    All(Vec<f64>),
    /// When the last would have it, at the rate until the race was ended.
    Rate(f64),
    /// It was ended before all had the file; so many had.
    Beyond(f64, usize),
}

/// The last that the first of them said that said anything. Some write over what they wrote.
fn said(dirs: &[PathBuf]) -> String {
    let logs = dirs.iter().filter_map(|dir| std::fs::read_to_string(dir.join("log")).ok());
    let last = |log: String| log.split(['\r', '\n']).map(str::trim).rfind(|line| !line.is_empty()).map(str::to_owned);
    logs.filter_map(last).next().unwrap_or_default()
}

fn listens(place: &Place) -> bool {
    let address = format!("{}:8000", place.address);
    within(place.space, || std::net::TcpStream::connect(address).is_ok()).unwrap_or(false)
}

/// Processor time of all of them so far, in microseconds.
fn spent(running: &[Running]) -> u64 {
    running.iter().flat_map(|running| tree(running.child.id())).map(micros).sum()
}

/// A program on a machine. It goes with this, and what it started with it.
struct Running {
    child: Child,
}

impl Running {
    fn start(space: &str, client: &Client, words: Vec<String>) -> Result<Self, String> {
        let (program, rest) = words.split_first().ok_or("a program has a name")?;
        let log = std::fs::File::create(client.dir.join("log")).map_err(|error| format!("log: {error}"))?;
        let also = log.try_clone().map_err(|error| format!("log: {error}"))?;
        let mut command = command(space, program);
        command.args(rest).stdin(Stdio::null()).stdout(log).stderr(also).current_dir(client.dir);
        let child = command.env("HOME", client.dir).spawn().map_err(|error| format!("{program}: {error}"))?;
        Ok(Self { child })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for process in tree(self.child.id()).into_iter().rev() {
            if let Some(process) = rustix::process::Pid::from_raw(process as i32) {
                // It may have ended by itself.
                let _ = rustix::process::kill_process(process, rustix::process::Signal::KILL);
            }
        }
        let _ = self.child.wait();
    }
}
