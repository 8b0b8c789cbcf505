//! The three sites of the demo and a cloud, from nothing to one mesh, and back to nothing.

use std::fs::File;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hither_api::admin::{
    AddModelDto, HeldDto, InviteDto, InvitedDto, ModelDto, PresenceDto, StageDto, TicketDto, ViewDto,
};
use hither_types::unit::ByteCount;
use rustix::fs::{FlockOperation, flock};
use serde_json::{Value, json};

use super::assets::{Assets, cache_dir};
use super::show::Show;
use super::site::{Site, hither};
use super::{LANGUAGE_MODEL, failed, policies};
use crate::output::Trouble;

/// Opening a model and testing it takes a second or two; a busy machine takes longer.
pub(super) const SETTLE_MAX: Duration = Duration::from_secs(90);

/// The file that is locked while a demo runs.
const LOCK: &str = "in-use";

/// Power as the sites of the demo state it.
pub(super) const CAP_W: u32 = 60;
/// … without inference.
pub(super) const IDLE_W: u32 = 10;
/// … that one stream adds.
pub(super) const LANGUAGE_SLOT_W: u32 = 20;

/// The name by which jakarta asks the cloud.
pub(super) const CLOUD_MODEL: &str = "assistant";
/// What a request costs there, and what all of a day may: one is within it, two are not.
const CLOUD_PRICE: f64 = 0.01;
const CLOUD_BUDGET: f64 = 0.015;

/// Everything that the demo made, gone when this goes.
pub(super) struct World {
    /// What it plays with.
    pub(super) assets: Assets,
    /// DE-BY: founded the mesh, and has the models.
    pub(super) munich: Site,
    /// FR: same operator, same region.
    pub(super) paris: Site,
    /// ID: same operator, stricter law.
    pub(super) jakarta: Site,
    /// US: no member, another operator; a server that jakarta's configuration names.
    pub(super) cloud: Site,
    // The last field, so that the directory goes when no process uses it any more.
    dir: Removed,
}

impl World {
    /// Makes directories, configurations and laws; starts nothing.
    pub(super) fn make(dir: Option<&Path>, assets: Assets) -> Result<Self, Trouble> {
        let dir = match dir {
            Some(dir) => std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned()),
            None => new_dir("demo"),
        };
        let dir = Removed::make(dir)?;
        Ok(Self {
            assets,
            munich: Site::make(&dir.dir, "munich", "DE-BY")?,
            paris: Site::make(&dir.dir, "paris", "FR")?,
            jakarta: Site::make(&dir.dir, "jakarta", "ID")?,
            cloud: Site::make(&dir.dir, "cloud", "US")?,
            dir,
        })
    }

    /// Where it all lies.
    pub(super) fn dir(&self) -> &Path {
        &self.dir.dir
    }

    /// All three.
    pub(super) fn sites(&self) -> impl Iterator<Item = &Site> {
        [&self.munich, &self.paris, &self.jakarta].into_iter()
    }

    /// From directories to one mesh whose members see one another and whose models are ready.
    pub(super) async fn bring_up(&mut self, show: &Show) -> Result<(), Trouble> {
        for (site, operator) in [(&self.munich, "meridian-bank"), (&self.cloud, "example-cloud")] {
            let args = ["init", "--site", site.name(), "--jurisdiction", site.jurisdiction(), "--operator", operator];
            let (made, code) = hither(&[&args[..], &["--data"]].concat(), &[site.dir()]).await?;
            if code != Some(0) {
                return Err(failed(format!("hither init failed: {made}")));
            }
        }
        let config = config(&self.assets.library);
        self.cloud.write("hither.toml", &config)?;
        self.cloud.start().await?;
        for site in self.sites() {
            let more = if site.name() == "jakarta" { endpoint(&self.cloud)? } else { String::new() };
            site.write("hither.toml", &format!("{config}{more}"))?;
            site.write("policy.toml", policies::of(site.name()))?;
        }
        show.good("keys, a mesh, three laws, each tested by its own cases");
        self.munich.start().await?;
        self.paris.start().await?;
        self.jakarta.start().await?;
        for site in [&self.paris, &self.jakarta] {
            self.admit(site).await?;
        }
        self.all_present().await?;
        show.good("invites accepted: munich → paris, munich → jakarta; all three hear one another");
        let models = [
            (self.assets.fraud.name, &self.assets.fraud.model, "Apache-2.0 OR MIT"),
            (self.assets.maintenance.name, &self.assets.maintenance.model, "Apache-2.0 OR MIT"),
            (LANGUAGE_MODEL, &self.assets.language, "Apache-2.0"),
        ];
        for (name, path, licence) in models {
            let model = add(&self.munich, name, path, licence).await?;
            show.note(&format!("munich added {name}: {}, {}, {licence}", model.format, ByteCount(model.size)));
        }
        add(&self.cloud, LANGUAGE_MODEL, &self.assets.language, "Apache-2.0").await?;
        let names = [self.assets.fraud.name, self.assets.maintenance.name, LANGUAGE_MODEL];
        self.munich
            .wait_for("its three models as ready", SETTLE_MAX, |view| {
                names.iter().all(|name| stage(view, "munich", name) == Some(StageDto::Ready))
            })
            .await?;
        self.cloud
            .wait_for("its model as ready", SETTLE_MAX, |view| {
                stage(view, "cloud", LANGUAGE_MODEL) == Some(StageDto::Ready)
            })
            .await?;
        for site in [&self.paris, &self.jakarta] {
            site.wait_for("munich's models", SETTLE_MAX, |view| {
                names.iter().all(|name| stage(view, "munich", name) == Some(StageDto::Ready))
            })
            .await?;
        }
        for site in self.sites() {
            show.note(&format!(
                "{:8} {:6} API and dashboard http://{}/",
                site.name(),
                site.jurisdiction(),
                site.api()?
            ));
        }
        show.note(&format!(
            "beside them, no member and of another operator: a server in US, which jakarta may ask as {CLOUD_MODEL}"
        ));
        Ok(())
    }

    /// Site and jurisdiction of a node, as jakarta knows it.
    pub(super) async fn who(&self, node: &str) -> Result<(String, String), Trouble> {
        let view = self.jakarta.view().await?;
        let found = view.nodes.into_iter().find(|other| other.member.node == node);
        found
            .map(|other| (other.member.site, other.member.jurisdiction))
            .ok_or_else(|| failed(format!("jakarta knows no node {node}")))
    }

    async fn admit(&self, site: &Site) -> Result<(), Trouble> {
        let invite = InviteDto {
            site: site.name().to_owned(),
            jurisdiction: site.jurisdiction().to_owned(),
            lifetime_s: 600,
            roles: Vec::new(),
            operator: None,
            confirm: false,
        };
        let InvitedDto { ticket, .. } = self.munich.operator().post("/hither/v1/invites", &json!(invite)).await?;
        let _member: Value = site.operator().post("/hither/v1/join", &json!(TicketDto { ticket })).await?;
        Ok(())
    }

    /// Waits until every site hears every other.
    pub(super) async fn all_present(&self) -> Result<(), Trouble> {
        for site in self.sites() {
            site.wait_for("the two others as present", SETTLE_MAX, |view| {
                ["munich", "paris", "jakarta"].iter().all(|name| is_there(view, name))
            })
            .await?;
        }
        Ok(())
    }

    /// Waits until munich is back with all that it had, as paris sees it.
    pub(super) async fn munich_is_back(&self) -> Result<(), Trouble> {
        self.munich
            .wait_for("its language model as ready", SETTLE_MAX, |view| {
                stage(view, "munich", LANGUAGE_MODEL) == Some(StageDto::Ready)
            })
            .await?;
        self.paris
            .wait_for("munich with the language model ready", SETTLE_MAX, |view| {
                is_there(view, "munich") && stage(view, "munich", LANGUAGE_MODEL) == Some(StageDto::Ready)
            })
            .await?;
        Ok(())
    }
}

/// A directory that goes when this goes. While it is there, a lock on a file inside says that it is in use.
pub(crate) struct Removed {
    /// The directory.
    pub(crate) dir: PathBuf,
    _lock: File,
}

impl Removed {
    /// Makes it, with all above it.
    pub(crate) fn make(dir: PathBuf) -> Result<Self, Trouble> {
        if let Some(parent) = dir.parent() {
            std::fs::create_dir_all(parent)
                .map_err(|error| failed(format!("cannot make {}: {error}", parent.display())))?;
        }
        std::fs::DirBuilder::new().mode(0o700).create(&dir).map_err(|error| {
            failed(format!("cannot make {}: {error}", dir.display()))
                .help("--dir DIR, with a DIR that does not exist yet")
        })?;
        let path = dir.join(LOCK);
        let lock = File::create(&path)
            .and_then(|file| Ok(flock(&file, FlockOperation::NonBlockingLockExclusive).map(|()| file)?))
            .map_err(|error| failed(format!("cannot lock {}: {error}", path.display())))?;
        Ok(Self { dir, _lock: lock })
    }
}

/// A place in the cache for a demo or a benchmark. What others of its kind left behind, which were killed themselves, is
/// removed first.
pub(crate) fn new_dir(kind: &str) -> PathBuf {
    remove_left_behind(&cache_dir(), &format!("{kind}-"));
    cache_dir().join(format!("{kind}-{}", std::process::id()))
}

/// Removes what was left behind by a program whose lock is free.
fn remove_left_behind(cache: &Path, prefix: &str) {
    let Ok(entries) = std::fs::read_dir(cache) else { return };
    for entry in entries.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(prefix) {
            continue;
        }
        // A directory without a lock is being made at this moment.
        let Ok(lock) = File::open(entry.path().join(LOCK)) else { continue };
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok()
            && let Err(error) = std::fs::remove_dir_all(entry.path())
        {
            eprintln!("{} is left behind: {error}", entry.path().display());
        }
    }
}

impl Drop for Removed {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.dir) {
            eprintln!("{} is left behind: {error}", self.dir.display());
        }
    }
}

fn config(library: &Path) -> String {
    format!(
        "# Written by hither demo.\n\
         [api]\nlisten = \"127.0.0.1:0\"\nsocket = \"api.sock\"\n\n\
         [mesh]\nlisten = \"127.0.0.1:0\"\n\n\
         [power]\ncap_w = {CAP_W}\nidle_w = {IDLE_W}\ntensor_slot_w = 5\nlanguage_slot_w = {LANGUAGE_SLOT_W}\n\n\
         [models]\npull = \"on-demand\"\nthreads = 1\ncontext_tokens = 2048\nslots = 2\nlibrary = {}\n\n\
         [drill]\nallow = true\n\n\
         [law]\npolicy = \"policy.toml\"\n",
        toml::Value::from(library.display().to_string())
    )
}

/// What jakarta is told of the cloud: what it costs, how much of that a day may have, and what is masked before it.
fn endpoint(cloud: &Site) -> Result<String, Trouble> {
    Ok(format!(
        "\n[egress]\ncurrency = \"EUR\"\n\n\
         [endpoint.cloud]\nurl = \"http://{}\"\nmodels = {{ {CLOUD_MODEL} = \"{LANGUAGE_MODEL}\" }}\n\
         jurisdiction = \"{}\"\noperator = \"example-cloud\"\ncontrol = [\"US\"]\n\
         price = {{ per_request = {CLOUD_PRICE} }}\nspend_per_day = {CLOUD_BUDGET}\n\n\
         [endpoint.cloud.filter]\nkinds = [\"email\"]\n",
        cloud.api()?,
        cloud.jurisdiction(),
    ))
}

async fn add(site: &Site, name: &str, path: &Path, licence: &str) -> Result<ModelDto, Trouble> {
    let body = AddModelDto {
        path: path.display().to_string(),
        name: name.to_owned(),
        licence: licence.to_owned(),
        ..AddModelDto::default()
    };
    site.operator().post("/hither/v1/models", &json!(body)).await
}

/// Whether a site is here or present in a view.
pub(super) fn is_there(view: &ViewDto, site: &str) -> bool {
    view.nodes.iter().any(|node| node.member.site == site && node.presence != PresenceDto::Gone)
}

/// A model at a site, as a view shows it.
pub(super) fn held<'a>(view: &'a ViewDto, site: &str, model: &str) -> Option<&'a HeldDto> {
    let node = view.nodes.iter().find(|node| node.member.site == site)?;
    node.models.iter().find(|held| held.name.as_deref() == Some(model))
}

/// How far a model is at a site, as a view shows it.
pub(super) fn stage(view: &ViewDto, site: &str, model: &str) -> Option<StageDto> {
    held(view, site, model).map(|held| held.stage)
}

#[cfg(test)]
mod tests;
