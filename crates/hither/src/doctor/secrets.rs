//! Secrets: who can read the keys, and what a crash writes down.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::{Area, Check};

/// What only the node may read. The key is the node: whoever has it can speak as this node.
const PRIVATE: &[&str] = &["key", "mesh.toml", "members", "apps.toml"];

pub(super) fn checks(root: &Path, data_dir: &Path, node: Option<u32>) -> Vec<Check> {
    vec![modes(data_dir), cores(root, node)]
}

fn modes(data_dir: &Path) -> Check {
    let dir = data_dir.display();
    let mode = |path: &Path| std::fs::metadata(path).ok().map(|meta| meta.permissions().mode() & 0o777);
    let Some(folder) = mode(data_dir) else {
        return Check::ok(Area::Secrets, "file modes", format!("{dir} is not there yet; `hither up` makes it 0700"));
    };
    let invites = std::fs::read_dir(data_dir.join("invites")).into_iter().flatten().flatten().map(|entry| entry.path());
    let apps = std::fs::read_dir(data_dir.join("references")).into_iter().flatten().flatten();
    let keys = apps.flat_map(|app| std::fs::read_dir(app.path()).into_iter().flatten().flatten());
    let invites = invites.chain(keys.map(|key| key.path()));
    let files = PRIVATE.iter().map(|name| data_dir.join(name)).chain(invites);
    let open = files.filter_map(|path| mode(&path).filter(|mode| mode & 0o077 != 0).map(|mode| (path, mode)));
    let open: Vec<String> = open
        .map(|(path, mode)| format!("{} {mode:04o}", path.strip_prefix(data_dir).unwrap_or(&path).display()))
        .collect();
    let fix = format!("chmod -R go= {dir}");
    if !open.is_empty() && folder & 0o011 != 0 {
        let found = format!("others can read {} in {dir} ({folder:04o})", open.join(", "));
        return Check::fail(Area::Secrets, "file modes", found, fix);
    }
    if !open.is_empty() || folder & 0o077 != 0 {
        let files = if open.is_empty() { "its secrets are their owner's alone".to_owned() } else { open.join(", ") };
        return Check::warn(Area::Secrets, "file modes", format!("{dir} has mode {folder:04o}; {files}"), fix);
    }
    Check::ok(Area::Secrets, "file modes", format!("nobody else can read the keys in {dir}"))
}

/// A core dump of the node holds prompts. `node` is the process to look at, else this one: it would start the next.
fn cores(root: &Path, node: Option<u32>) -> Check {
    let who = node.map_or_else(|| "self".to_owned(), |pid| pid.to_string());
    let limits = std::fs::read_to_string(root.join("proc").join(who).join("limits")).unwrap_or_default();
    let limit = limits.lines().find_map(|line| line.strip_prefix("Max core file size"));
    let soft = limit.and_then(|rest| rest.split_whitespace().next());
    match (soft, node) {
        (Some("0"), Some(_)) => {
            Check::ok(Area::Secrets, "core dumps", "off for the node that runs, and for every worker")
        }
        (_, None) => Check::ok(Area::Secrets, "core dumps", "`hither up` turns them off for itself and every worker"),
        (soft, Some(_)) => {
            let found = format!("a crash of the node writes its memory to disk (limit: {})", soft.unwrap_or("unknown"));
            Check::warn(Area::Secrets, "core dumps", found, "restart the node with this version: hither up")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    fn chmod(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_key_that_others_can_reach_fails_and_one_behind_a_shut_door_warns() {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("key");
        std::fs::write(&key, "0").unwrap();
        let state = |folder, file| {
            chmod(dir.path(), folder);
            chmod(&key, file);
            modes(dir.path()).state
        };
        assert_eq!((state(0o700, 0o600), state(0o755, 0o644)), (State::Ok, State::Fail));
        assert_eq!((state(0o700, 0o644), state(0o755, 0o600)), (State::Warn, State::Warn));
        assert_eq!(modes(&dir.path().join("absent")).state, State::Ok);
    }

    #[test]
    fn a_node_that_would_dump_its_memory_is_a_warning() {
        let root = tempfile::tempdir().unwrap();
        let state = |limit: &str| {
            std::fs::create_dir_all(root.path().join("proc/7")).unwrap();
            let text =
                format!("Limit  Soft Limit  Hard Limit  Units\nMax core file size        {limit}  unlimited  bytes\n");
            std::fs::write(root.path().join("proc/7/limits"), text).unwrap();
            cores(root.path(), Some(7)).state
        };
        assert_eq!((state("0"), state("unlimited")), (State::Ok, State::Warn));
        assert_eq!(cores(root.path(), None).state, State::Ok);
    }
}
