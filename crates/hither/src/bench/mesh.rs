//! Many nodes on this machine, from nothing to one mesh in which each holds the same sleeping model.

use std::path::Path;
use std::time::Duration;

use futures_util::future::try_join_all;
use hither_api::admin::{AddModelDto, InviteDto, InvitedDto, PresenceDto, StageDto, TicketDto, ViewDto};
use serde_json::{Value, json};

use super::MeshArgs;
use crate::demo::failed;
use crate::demo::site::{Site, hither};
use crate::demo::world::{Removed, new_dir};
use crate::output::Trouble;

/// What the model is called.
pub(super) const MODEL: &str = "sleep";

/// Where all of them stand: one's own machines in one country may help one another, by the policy that a node starts with.
const JURISDICTION: &str = "DE";

/// Dozens of processes start, meet and open a model in some seconds; a busy machine takes longer.
const SETTLE_MAX: Duration = Duration::from_secs(180);

/// Nodes that do something at the same moment while the mesh is made, so that no time limit of theirs is met by it.
const AT_ONCE: usize = 6;

const CONFIG: &str = "# Written by hither bench.\n\
                      [api]\nlisten = \"127.0.0.1:0\"\n\n\
                      [mesh]\nlisten = \"127.0.0.1:0\"\n\n\
                      [models]\npull = \"manual\"\nthreads = 1\n";

/// The nodes, gone when this goes.
pub(super) struct Mesh {
    sites: Vec<Site>,
    // The last field, so that the directory goes when no process uses it any more.
    _dir: Removed,
}

impl Mesh {
    /// Makes it.
    pub(super) async fn bring_up(args: &MeshArgs) -> Result<Self, Trouble> {
        let dir = match &args.dir {
            Some(dir) => std::path::absolute(dir).unwrap_or_else(|_| dir.clone()),
            None => new_dir("bench"),
        };
        let dir = Removed::make(dir)?;
        let model = dir.dir.join("sleep.stub");
        let text = format!("hither-stub 1\nkind=sleep slots={}\n", args.slots);
        std::fs::write(&model, text).map_err(|error| failed(format!("cannot write {}: {error}", model.display())))?;
        let names = (0..args.nodes).map(|number| format!("node-{number:02}"));
        let sites: Result<Vec<Site>, Trouble> = names.map(|name| Site::make(&dir.dir, &name, JURISDICTION)).collect();
        let mut mesh = Self { sites: sites?, _dir: dir };
        mesh.start().await?;
        mesh.join().await?;
        mesh.hold(&model).await?;
        Ok(mesh)
    }

    /// All nodes, in the order of their numbers.
    pub(super) fn sites(&self) -> &[Site] {
        &self.sites
    }

    /// The processes of the nodes.
    pub(super) fn processes(&self) -> Vec<u32> {
        self.sites.iter().filter_map(Site::process).collect()
    }

    async fn start(&mut self) -> Result<(), Trouble> {
        let Some(founder) = self.sites.first() else { return Err(failed("a mesh of no nodes")) };
        let args = ["init", "--site", founder.name(), "--jurisdiction", JURISDICTION, "--operator", "bench", "--data"];
        let (made, code) = hither(&args, &[founder.dir()]).await?;
        if code != Some(0) {
            return Err(failed(format!("hither init failed: {made}")));
        }
        for site in &self.sites {
            site.write("hither.toml", CONFIG)?;
        }
        for some in self.sites.chunks_mut(AT_ONCE) {
            try_join_all(some.iter_mut().map(Site::start)).await?;
        }
        Ok(())
    }

    async fn join(&self) -> Result<(), Trouble> {
        let Some((founder, others)) = self.sites.split_first() else { return Ok(()) };
        for site in others {
            let invite = InviteDto {
                site: site.name().to_owned(),
                jurisdiction: JURISDICTION.to_owned(),
                lifetime_s: 600,
                roles: Vec::new(),
                operator: None,
                confirm: false,
            };
            let InvitedDto { ticket, .. } = founder.operator().post("/hither/v1/invites", &json!(invite)).await?;
            let _member: Value = site.operator().post("/hither/v1/join", &json!(TicketDto { ticket })).await?;
        }
        let all = self.sites.len();
        for site in &self.sites {
            site.wait_for("all others as present", SETTLE_MAX, |view| present(view) == all).await?;
        }
        Ok(())
    }

    async fn hold(&self, model: &Path) -> Result<(), Trouble> {
        let body = json!(AddModelDto {
            path: model.display().to_string(),
            name: MODEL.to_owned(),
            licence: "Apache-2.0 OR MIT".to_owned(),
            ..AddModelDto::default()
        });
        for some in self.sites.chunks(AT_ONCE) {
            let body = &body;
            try_join_all(some.iter().map(|site| async move {
                let _model: Value = site.operator().post("/hither/v1/models", body).await?;
                Ok::<(), Trouble>(())
            }))
            .await?;
        }
        let all = self.sites.len();
        for site in &self.sites {
            site.wait_for("the model as ready everywhere", SETTLE_MAX, |view| ready(view) == all).await?;
        }
        Ok(())
    }
}

fn present(view: &ViewDto) -> usize {
    view.nodes.iter().filter(|node| node.presence != PresenceDto::Gone).count()
}

fn ready(view: &ViewDto) -> usize {
    let holds = |node: &&hither_api::admin::NodeDto| node.models.iter().any(|held| held.stage == StageDto::Ready);
    view.nodes.iter().filter(holds).count()
}
