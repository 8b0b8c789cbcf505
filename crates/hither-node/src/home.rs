//! The data directory of a node: its key, its mesh, its certificate.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use hither_types::authority::Statement;
use hither_types::id::{MeshId, NodeId, Operator, SiteName};
use hither_types::incarnation::next_start;
use hither_types::member::{CERTIFICATE_DAYS, Member, Roles, Signed};
use hither_types::message::{Invite, PeerMessage};
use hither_types::place::{Assurance, Jurisdiction};
use hither_types::time::WallTime;
use hither_types::unit::Micros;
use hither_wire::limits::MAX_CONTROL;
use serde::{Deserialize, Serialize};

use crate::authority::{Authority, mesh_id};
use crate::limits::GRACE_DAYS;
use crate::trust::{self, TrustError, wall_now};

#[cfg(test)]
mod tests;

/// What `hither init` is told.
#[derive(Debug, Clone)]
pub struct InitOptions {
    /// The data directory; made if absent.
    pub data_dir: PathBuf,
    /// The first site.
    pub site: SiteName,
    /// Where it stands.
    pub jurisdiction: Jurisdiction,
    /// Who runs the mesh.
    pub operator: Operator,
    /// Which states can compel whoever runs it; that of the jurisdiction if `None`.
    pub control: Option<Vec<Jurisdiction>>,
}

/// What `hither init` made.
#[derive(Debug, Clone)]
pub struct InitDone {
    /// The node.
    pub node: NodeId,
    /// The mesh.
    pub mesh: MeshId,
    /// The files written.
    pub files: Vec<PathBuf>,
}

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InitError {
    /// The directory is a member of a mesh already.
    #[error("{0} is a member of a mesh already; choose another directory with --data, or remove this one")]
    AlreadyMember(PathBuf),
    /// More states than a certificate holds.
    #[error("an operator can be compelled by at most {MAX_CONTROL} countries, and {0} are named")]
    Control(usize),
    /// A node runs on this directory.
    #[error("a node runs on {0}; stop it first")]
    Running(PathBuf),
    /// A file cannot be written or read.
    #[error("cannot use {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A file is not what this program wrote.
    #[error("{path} is damaged: {text}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        text: String,
    },
}

/// A data directory that this process holds.
pub(crate) struct Home {
    pub(crate) dir: PathBuf,
    pub(crate) key: SigningKey,
    pub(crate) authority: Authority,
    pub(crate) certificate: Signed,
    pub(crate) me: Member,
    _lock: File,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MeshFile {
    mesh: String,
    /// Who made the mesh.
    #[serde(alias = "issuer")]
    founder: String,
    /// Who signed the certificate, unless the founder did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signer: Option<String>,
    certificate: String,
    signature: String,
}

impl Home {
    /// Opens the directory, making it, its key and a mesh of one if they are not there.
    pub(crate) fn open(dir: &Path) -> Result<Self, InitError> {
        make_dir(dir)?;
        let lock = lock(dir)?;
        let key = load_key(&dir.join("key"))?;
        let path = dir.join("mesh.toml");
        if !path.exists() {
            found_alone(dir, &key)?;
        }
        let (authority, certificate, me) = load_mesh(dir, &key)?;
        Ok(Self { dir: dir.to_owned(), key, authority, certificate, me, _lock: lock })
    }

    /// Puts a certificate from an issuer in the place of the old one.
    pub(crate) fn adopt(&mut self, authority: Authority, certificate: Signed, me: Member) -> Result<(), InitError> {
        save_authority(&self.dir, &authority)?;
        save_mesh(&self.dir, &authority, &certificate)?;
        (self.authority, self.certificate, self.me) = (authority, certificate, me);
        Ok(())
    }

    /// Puts a newer certificate of the same mesh in the place of the old one.
    pub(crate) fn renewed(&mut self, certificate: Signed, me: Member) -> Result<(), InitError> {
        save_mesh(&self.dir, &self.authority, &certificate)?;
        (self.certificate, self.me) = (certificate, me);
        Ok(())
    }

    /// The member that a certificate vouches for, now, or a while after its end if it is of this node's site and operator:
    /// a site that is cut off goes on with its own.
    pub(crate) fn check_member(&self, signed: &Signed, now: WallTime) -> Result<Member, TrustError> {
        let member = self.authority.check_but_for_time(signed)?;
        self.has_not_ended(&member, now)?;
        Ok(member)
    }

    /// The same of a certificate whose signature was checked before. Everybody's are looked at every few seconds, and a
    /// thousand signatures would take a tenth of a second of the loop.
    pub(crate) fn check_again(&self, signer: NodeId, member: &Member, now: WallTime) -> Result<(), TrustError> {
        self.authority.vouches(signer, member)?;
        self.has_not_ended(member, now)
    }

    fn has_not_ended(&self, member: &Member, now: WallTime) -> Result<(), TrustError> {
        let is_near = member.site == self.me.site && member.operator == self.me.operator;
        let grace = if is_near { days(GRACE_DAYS) } else { Micros(0) };
        let end = trust::clock_grace(trust::wall_after(member.expires, grace));
        if end < now { Err(TrustError::Expired) } else { Ok(()) }
    }

    /// Leaves the mesh: what it says of this node is set aside, and the node is a mesh of one again.
    pub(crate) fn leave(&mut self) -> Result<(), InitError> {
        let suffix = format!("left-{}", self.authority.mesh.to_string().chars().take(10).collect::<String>());
        for name in ["mesh.toml", "authority", "members"] {
            let path = self.dir.join(name);
            match std::fs::rename(&path, self.dir.join(format!("{name}.{suffix}"))) {
                Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                    return Err(InitError::Io { path, source });
                }
                Ok(()) | Err(_) => {}
            }
        }
        found_alone(&self.dir, &self.key)?;
        (self.authority, self.certificate, self.me) = load_mesh(&self.dir, &self.key)?;
        Ok(())
    }

    /// Keeps what was added to the authority log.
    pub(crate) fn keep_authority(&self) -> Result<(), InitError> {
        save_authority(&self.dir, &self.authority)
    }

    /// Whether this node may let others in.
    pub(crate) fn is_issuer(&self) -> bool {
        self.authority.is_issuer(self.me.node)
    }

    /// Whether this node made the mesh.
    pub(crate) fn is_founder(&self) -> bool {
        self.authority.founder == self.me.node
    }

    /// Whether the mesh holds this node for a member no more.
    pub(crate) fn is_revoked(&self) -> bool {
        self.authority.is_revoked(self.me.node)
    }

    /// Vouches for a new member.
    pub(crate) fn certify(&self, node: NodeId, invite: &Invite) -> (Signed, Member) {
        let member = self.guest(node, invite);
        (trust::certify(&self.key, &member), member)
    }

    /// The member that an invite makes of a node.
    pub(crate) fn guest(&self, node: NodeId, invite: &Invite) -> Member {
        let Invite { site, jurisdiction, operator, roles, .. } = invite.clone();
        let me = self.me.clone();
        // Which states can compel another operator is not known here.
        let (operator, control) = match operator.filter(|operator| *operator != me.operator) {
            None => (me.operator.clone(), me.control.clone()),
            Some(other) => (other, None),
        };
        Member { node, site, jurisdiction, operator, control, roles, expires: certificate_end(), ..me }
    }

    /// Vouches for a member again.
    pub(crate) fn certify_again(&self, member: &Member) -> (Signed, Member) {
        let member = Member { expires: certificate_end(), ..member.clone() };
        (trust::certify(&self.key, &member), member)
    }

    /// That of the next start.
    pub(crate) fn next_incarnation(&self) -> Result<u64, InitError> {
        self.keep_incarnation(next_start(self.last_incarnation()))
    }

    /// One of this start that is larger than one that is known.
    pub(crate) fn incarnation_above(&self, known: u64) -> Result<u64, InitError> {
        self.keep_incarnation(self.last_incarnation().max(known).saturating_add(1))
    }

    fn last_incarnation(&self) -> u64 {
        let text = std::fs::read_to_string(self.dir.join("incarnation")).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    }

    fn keep_incarnation(&self, incarnation: u64) -> Result<u64, InitError> {
        let path = self.dir.join("incarnation");
        write_private(&path, incarnation.to_string().as_bytes()).map_err(|source| InitError::Io { path, source })?;
        Ok(incarnation)
    }
}

/// Makes a new mesh with this directory as its first member and issuer.
pub fn init(options: InitOptions) -> Result<InitDone, InitError> {
    let dir = &options.data_dir;
    make_dir(dir)?;
    let _lock = lock(dir)?;
    if dir.join("mesh.toml").exists() {
        return Err(InitError::AlreadyMember(dir.clone()));
    }
    let key = load_key(&dir.join("key"))?;
    if let Some(many) = options.control.as_ref().map(Vec::len).filter(|count| *count > MAX_CONTROL) {
        return Err(InitError::Control(many));
    }
    let control = options.control.unwrap_or_else(|| vec![options.jurisdiction.country()]);
    let mesh = found(dir, &key, (options.site, options.jurisdiction), (options.operator, control))?;
    let mut files = vec![dir.join("key"), dir.join("mesh.toml")];
    if let Some(path) = write_default_policy(&dir.join("policy.toml"), options.jurisdiction)? {
        files.push(path);
    }
    Ok(InitDone { node: trust::node_id(&key), mesh, files })
}

/// Writes the policy that a new member starts from, unless there is one.
pub(crate) fn write_default_policy(path: &Path, jurisdiction: Jurisdiction) -> Result<Option<PathBuf>, InitError> {
    if path.exists() {
        return Ok(None);
    }
    let text = hither_law::default_text(jurisdiction);
    write_private(path, text.as_bytes()).map_err(|source| InitError::Io { path: path.to_owned(), source })?;
    Ok(Some(path.to_owned()))
}

/// Makes a mesh of one, of which nothing is known yet.
fn found_alone(dir: &Path, key: &SigningKey) -> Result<MeshId, InitError> {
    let site = SiteName::parse("here").expect("a constant name");
    // ZZ is "unknown" in ISO 3166: no bloc holds it, so nothing is permitted by accident.
    let jurisdiction = Jurisdiction::parse("ZZ").expect("a constant code");
    let operator = Operator::parse("self").expect("a constant name");
    found(dir, key, (site, jurisdiction), (operator, vec![jurisdiction.country()]))
}

fn found(
    dir: &Path,
    key: &SigningKey,
    (site, jurisdiction): (SiteName, Jurisdiction),
    (operator, control): (Operator, Vec<Jurisdiction>),
) -> Result<MeshId, InitError> {
    let node = trust::node_id(key);
    let nonce = random::<16>();
    let mesh = mesh_id(node, &nonce);
    let member = Member {
        node,
        mesh,
        site,
        jurisdiction,
        control: Some(control),
        operator,
        assurance: Assurance::Vouched,
        expires: certificate_end(),
        roles: Roles::ALL,
    };
    let certificate = trust::certify(key, &member);
    let mut authority = Authority::new(mesh, node);
    authority.state(key, Statement::Found { nonce }, wall_now()).expect("whoever founds a mesh may say so");
    save_authority(dir, &authority)?;
    save_mesh(dir, &authority, &certificate)?;
    Ok(mesh)
}

fn certificate_end() -> WallTime {
    trust::wall_after(wall_now(), days(CERTIFICATE_DAYS))
}

/// So many days.
pub(crate) fn days(count: u64) -> Micros {
    Micros(count * 86_400 * 1_000_000)
}

/// The authority log of a data directory.
fn authority_path(dir: &Path) -> PathBuf {
    dir.join("authority")
}

fn save_authority(dir: &Path, authority: &Authority) -> Result<(), InitError> {
    let path = authority_path(dir);
    write_messages(&path, &[PeerMessage::Authority(authority.entries())])
        .map_err(|source| InitError::Io { path, source })
}

/// Reads the authority log into what is known of the mesh. One that cannot be read is told: who was revoked must not
/// come back by a damaged file.
fn load_authority(dir: &Path, authority: &mut Authority) -> Result<(), InitError> {
    let path = authority_path(dir);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        // Of a mesh that was founded before there was a log.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(InitError::Io { path, source }),
    };
    let damaged = |text: String| InitError::Damaged { path: authority_path(dir), text };
    match hither_wire::decode_message(&bytes) {
        Ok(PeerMessage::Authority(entries)) => match authority.take_all(entries).1.first() {
            None => Ok(()),
            Some((_, error)) => Err(damaged(error.to_string())),
        },
        Ok(_) => Err(damaged("it is no authority log".into())),
        Err(error) => Err(damaged(error.to_string())),
    }
}

fn save_mesh(dir: &Path, authority: &Authority, certificate: &Signed) -> Result<(), InitError> {
    let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
    let file = MeshFile {
        mesh: authority.mesh.to_string(),
        founder: authority.founder.to_string(),
        signer: (certificate.signer != authority.founder).then(|| certificate.signer.to_string()),
        certificate: hex(&certificate.bytes),
        signature: hex(&certificate.signature),
    };
    let path = dir.join("mesh.toml");
    let text = toml::to_string(&file).expect("strings alone");
    write_private(&path, text.as_bytes()).map_err(|source| InitError::Io { path, source })
}

pub(crate) fn load_mesh(dir: &Path, key: &SigningKey) -> Result<(Authority, Signed, Member), InitError> {
    let path = &dir.join("mesh.toml");
    let damaged = |text: String| InitError::Damaged { path: path.to_owned(), text };
    let text = std::fs::read_to_string(path).map_err(|source| InitError::Io { path: path.to_owned(), source })?;
    let file: MeshFile = toml::from_str(&text).map_err(|error| damaged(error.to_string()))?;
    let mesh = MeshId::parse(&file.mesh).map_err(|error| damaged(error.to_string()))?;
    let key_of = |text: &str| NodeId::parse(text).map_err(|error| damaged(error.to_string()));
    let founder = key_of(&file.founder)?;
    let signer = file.signer.as_deref().map(key_of).transpose()?.unwrap_or(founder);
    let unhex =
        |text: &str| data_encoding::HEXLOWER.decode(text.as_bytes()).map_err(|error| damaged(error.to_string()));
    let signature = unhex(&file.signature)?.try_into().map_err(|_| damaged("the signature is too short".into()))?;
    let mut certificate = Signed { bytes: unhex(&file.certificate)?, signer, signature };
    let mut authority = Authority::new(mesh, founder);
    load_authority(dir, &mut authority)?;
    let mut me = hither_wire::decode_member(&certificate.bytes).map_err(|error| damaged(error.to_string()))?;
    if me.node != trust::node_id(key) {
        return Err(damaged("it belongs to another key".into()));
    }
    if founder == me.node {
        // The founder vouches for itself anew with each start.
        me.expires = certificate_end();
        certificate = trust::certify(key, &me);
    }
    match authority.check_but_for_time(&certificate) {
        // Its time may be over, and the mesh may hold it for a member no more: others say so, and the node goes on alone.
        Ok(_) | Err(TrustError::Revoked | TrustError::Left | TrustError::Issuer | TrustError::Scope) => {}
        Err(error) => return Err(damaged(error.to_string())),
    }
    Ok((authority, certificate, me))
}

pub(crate) fn load_key(path: &Path) -> Result<SigningKey, InitError> {
    let io = |source| InitError::Io { path: path.to_owned(), source };
    if !path.exists() {
        let secret = random::<32>();
        write_private(path, data_encoding::HEXLOWER.encode(&secret).as_bytes()).map_err(io)?;
    }
    let text = std::fs::read_to_string(path).map_err(io)?;
    let bytes = data_encoding::HEXLOWER.decode(text.trim().as_bytes()).ok();
    let secret: Option<[u8; 32]> = bytes.and_then(|bytes| bytes.try_into().ok());
    let damaged = || InitError::Damaged { path: path.to_owned(), text: "a key is 64 hexadecimal digits".into() };
    Ok(SigningKey::from_bytes(&secret.ok_or_else(damaged)?))
}

/// Random bytes from the operating system.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system has a random source");
    bytes
}

fn make_dir(dir: &Path) -> Result<(), InitError> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|source| InitError::Io { path: dir.to_owned(), source })
}

fn lock(dir: &Path) -> Result<File, InitError> {
    let path = dir.join("lock");
    let io = |source| InitError::Io { path: path.clone(), source };
    let file = File::options().create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(io)?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(InitError::Running(dir.to_owned())),
        Err(error) => Err(io(error.into())),
    }
}

/// Keeps a message as a file: the form between nodes is the form on disk.
pub(crate) fn write_messages(path: &Path, messages: &[PeerMessage]) -> std::io::Result<()> {
    let encoded = messages.iter().map(hither_wire::encode_message).collect::<Result<Vec<_>, _>>();
    match encoded.map_err(std::io::Error::other)?.as_slice() {
        // As all releases wrote it.
        [only] => write_private(path, only),
        several => {
            let sized = |bytes: &Vec<u8>| [&(bytes.len() as u32).to_le_bytes()[..], bytes.as_slice()].concat();
            write_private(path, &several.iter().flat_map(sized).collect::<Vec<u8>>())
        }
    }
}

/// Reads them: one message alone, or several, each behind its length in four bytes. None if there is no such file.
pub(crate) fn read_messages(path: &Path) -> Result<Vec<PeerMessage>, String> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.to_string()),
    };
    let alone = hither_wire::decode_message(&bytes);
    let (mut messages, mut rest) = (Vec::new(), bytes.as_slice());
    while let Some((size, behind)) = rest.split_first_chunk::<4>() {
        let size = u32::from_le_bytes(*size) as usize;
        let Some(message) = behind.get(..size).and_then(|body| hither_wire::decode_message(body).ok()) else { break };
        messages.push(message);
        rest = &behind[size..];
    }
    match alone {
        Ok(message) => Ok(vec![message]),
        Err(_) if rest.is_empty() => Ok(messages),
        Err(error) => Err(error.to_string()),
    }
}

/// Writes a file whole or not at all, readable by its owner only.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::options().create(true).truncate(true).write(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&new, path)
}

/// Writes a file that an operator may have made: whole or not at all, with the rights that it had, behind a link that
/// stands for it, and not if it says the same already, for its disk may be one that nobody writes to.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if std::fs::read(&path).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    let new = path.with_extension("new");
    let mut file = File::options().create(true).truncate(true).write(true).mode(0o600).open(&new)?;
    let written = file.write_all(bytes).and_then(|()| match std::fs::metadata(&path) {
        Ok(there) => file.set_permissions(there.permissions()),
        Err(_) => Ok(()),
    });
    if let Err(error) = written.and_then(|()| file.sync_all()).and_then(|()| std::fs::rename(&new, &path)) {
        // What is left of it is in nobody's way.
        let _ = std::fs::remove_file(&new);
        return Err(error);
    }
    path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}
