//! After the steps: the sites stay up, and whoever watches may break them.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossterm::event::{Event, KeyCode, KeyEventKind, KeyModifiers};
use crossterm::terminal::{disable_raw_mode, enable_raw_mode};
use hither_api::admin::{DoneDto, ExplanationDto, IsolateDto};
use rustix::process::Signal;
use serde_json::json;
use tokio::sync::mpsc;

use super::failed;
use super::power::set_cap;
use super::show::Show;
use super::site::Site;
use super::world::{CAP_W, IDLE_W, World};
use crate::cli::{explanation_text, status_text};
use crate::output::{Trouble, raw};

/// How often the reader of keys looks whether it is still wanted.
const KEY_POLL: Duration = Duration::from_millis(100);

/// Keys that may wait; who types faster than a site starts loses the rest.
const KEYS_WAITING_MAX: usize = 16;

const HELP: &str = "k kill · f freeze · r restart · c cut or restore power · p partition or heal · s status · \
                    x explain the last request · q quit";

/// Waits for keys until `q`.
pub(super) async fn stay(world: &mut World, show: &Show) -> Result<(), Trouble> {
    show.title("\n Now you. The sites stay up:");
    for site in world.sites() {
        show.note(&format!("{:8} API and dashboard http://{}/", site.name(), site.api()?));
    }
    let keys = Keys::read()?;
    let mut live = Live { keys, frozen: BTreeSet::new(), cut: BTreeSet::new(), apart: BTreeSet::new() };
    live.say(HELP);
    while let Some(key) = live.keys.next().await {
        if key == 'q' {
            break;
        }
        if let Err(trouble) = live.press(key, world).await {
            live.say(&trouble.message);
        }
    }
    Ok(())
}

/// What has been done to the sites, and the keys.
struct Live {
    keys: Keys,
    frozen: BTreeSet<String>,
    cut: BTreeSet<String>,
    apart: BTreeSet<String>,
}

impl Live {
    /// In raw mode a line feed does not return the carriage.
    fn say(&self, text: &str) {
        raw(&format!("   {}\r\n", text.replace('\n', "\r\n   ")));
    }

    async fn press(&mut self, key: char, world: &mut World) -> Result<(), Trouble> {
        if !"kfrcpsx".contains(key) {
            self.say(HELP);
            return Ok(());
        }
        self.say("which site?  1 munich   2 paris   3 jakarta");
        let site = match self.keys.next().await {
            Some('1') => &mut world.munich,
            Some('2') => &mut world.paris,
            Some('3') => &mut world.jakarta,
            _ => {
                self.say("none of them; nothing done");
                return Ok(());
            }
        };
        let name = site.name().to_owned();
        match key {
            'k' => {
                site.kill().await?;
                self.frozen.remove(&name);
                self.say(&format!("{name} is killed (r restarts it)"));
            }
            'f' => {
                site.signal(Signal::STOP)?;
                self.frozen.insert(name.clone());
                self.say(&format!("{name} is frozen (r thaws it)"));
            }
            'r' if self.frozen.remove(&name) => {
                site.signal(Signal::CONT)?;
                self.say(&format!("{name} is thawed"));
            }
            'r' => {
                if site.runs() {
                    site.kill().await?;
                }
                site.start().await?;
                self.cut.remove(&name);
                self.apart.remove(&name);
                self.say(&format!("{name} is up again"));
            }
            'c' => self.power(site).await?,
            'p' => self.partition(site).await?,
            's' => self.say(&status_text(&site.view().await?, crate::output::Colour::of_stdout())),
            _ => self.explain(site).await?,
        }
        Ok(())
    }

    async fn power(&mut self, site: &Site) -> Result<(), Trouble> {
        let name = site.name().to_owned();
        let restore = self.cut.contains(&name);
        let watts = if restore { CAP_W } else { IDLE_W };
        set_cap(site, watts).await?;
        if restore {
            self.cut.remove(&name);
        } else {
            self.cut.insert(name.clone());
        }
        self.say(&format!("{name} has {watts} W now (c again {})", if restore { "cuts" } else { "restores" }));
        Ok(())
    }

    async fn partition(&mut self, site: &Site) -> Result<(), Trouble> {
        let name = site.name().to_owned();
        let heal = self.apart.contains(&name);
        let _done: DoneDto = site.operator().post("/hither/v1/isolate", &json!(IsolateDto { isolated: !heal })).await?;
        if heal {
            self.apart.remove(&name);
            self.say(&format!("{name} reaches its peers again (p cuts it off)"));
        } else {
            self.apart.insert(name.clone());
            self.say(&format!("{name} is cut off from all peers, and goes on alone (p heals)"));
        }
        Ok(())
    }

    async fn explain(&self, site: &Site) -> Result<(), Trouble> {
        let view = site.view().await?;
        let Some(last) = view.recent.first() else {
            return Err(failed(format!("nobody has asked {} anything yet", site.name())));
        };
        let explanation: ExplanationDto = site.operator().get(&format!("/hither/v1/requests/{}", last.request)).await?;
        self.say(&explanation_text(&explanation, crate::output::Colour::of_stdout()));
        Ok(())
    }
}

/// Keys, read by a thread of their own while the terminal is raw.
struct Keys {
    pressed: mpsc::Receiver<char>,
    stop: Arc<AtomicBool>,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Keys {
    fn read() -> Result<Self, Trouble> {
        enable_raw_mode().map_err(|error| failed(format!("the terminal gives no keys: {error}")))?;
        let (pressing, pressed) = mpsc::channel(KEYS_WAITING_MAX);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let reader = std::thread::spawn(move || read_keys(&pressing, &stopped));
        Ok(Self { pressed, stop, reader: Some(reader) })
    }

    async fn next(&mut self) -> Option<char> {
        self.pressed.recv().await
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // The thread looks at the flag ten times a second; a panic in it would have been about the terminal alone.
        let _ = self.reader.take().map(std::thread::JoinHandle::join);
        let _ = disable_raw_mode();
        let _ = std::io::stdout().flush();
    }
}

fn read_keys(pressing: &mpsc::Sender<char>, stopped: &AtomicBool) {
    while !stopped.load(Ordering::Relaxed) {
        match crossterm::event::poll(KEY_POLL) {
            Ok(false) => continue,
            Ok(true) => {}
            Err(_) => return,
        }
        let Ok(Event::Key(key)) = crossterm::event::read() else { continue };
        if key.kind != KeyEventKind::Press {
            continue;
        }
        let pressed = match key.code {
            // In raw mode Ctrl-C is a key like any other.
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => 'q',
            KeyCode::Char(character) => character,
            KeyCode::Esc => 'q',
            _ => continue,
        };
        match pressing.try_send(pressed) {
            Ok(()) | Err(mpsc::error::TrySendError::Full(_)) => {}
            Err(mpsc::error::TrySendError::Closed(_)) => return,
        }
    }
}
