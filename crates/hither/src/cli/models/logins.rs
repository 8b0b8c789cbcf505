//! Who the person is at registries of artefacts, as other programs have written it down: the `auths` of the file that
//! `docker login` and `podman login` write.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use hither_sources::{RegistryLogin, Secret, Source};
use serde::Deserialize;

use crate::output::{Exit, Trouble};

/// The file, as far as it is read here.
#[derive(Deserialize)]
struct File {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    /// `user:password` in Base64. Absent where a helper program keeps it.
    #[serde(default)]
    auth: String,
}

/// The logins of this person, if the source is at a registry: nobody's file is read for anything else.
pub(super) fn logins(source: &Source) -> Result<Vec<RegistryLogin>, Trouble> {
    match source {
        Source::Registry(_) => {
            file(&|name| std::env::var_os(name).map(PathBuf::from)).map_or(Ok(Vec::new()), |path| read(&path))
        }
        Source::Local(_) | Source::Web(_) | Source::Hub(_) => Ok(Vec::new()),
    }
}

/// The first of the files that there may be, in the order in which other programs look.
fn file(variable: &dyn Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let named = [variable("REGISTRY_AUTH_FILE"), variable("DOCKER_CONFIG").map(|dir| dir.join("config.json"))];
    let found = [
        variable("XDG_RUNTIME_DIR").map(|dir| dir.join("containers/auth.json")),
        variable("HOME").map(|dir| dir.join(".docker/config.json")),
    ];
    // One that is named has to be there; the others may be.
    named.into_iter().flatten().next().or_else(|| found.into_iter().flatten().find(|path| path.is_file()))
}

fn read(path: &Path) -> Result<Vec<RegistryLogin>, Trouble> {
    let wrong = |text: &str| {
        Trouble::new("E0146", format!("the logins at registries in {} cannot be read: {text}", path.display()))
            .help("docker login REGISTRY, or podman login REGISTRY, writes it")
            .exit(Exit::Usage)
    };
    let text = std::fs::read_to_string(path).map_err(|error| wrong(&error.to_string()))?;
    // What serde says of a text may repeat it, and there are passwords in it.
    let file: File =
        serde_json::from_str(&text).map_err(|error| wrong(&format!("line {} is not as it should be", error.line())))?;
    let mut logins = Vec::new();
    for (host, entry) in file.auths.into_iter().filter(|(_, entry)| !entry.auth.is_empty()) {
        let pair = BASE64.decode(entry.auth.as_bytes()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let pair = pair.as_deref().and_then(|pair| pair.split_once(':'));
        let (user, password) = pair.ok_or_else(|| wrong(&format!("the entry of {host} is no user and password")))?;
        logins.push(RegistryLogin {
            host: bare(&host).to_owned(),
            user: user.to_owned(),
            password: Secret::new(password),
        });
    }
    Ok(logins)
}

/// The host of an entry, which may have been written with a scheme and a path.
fn bare(host: &str) -> &str {
    let host = host.strip_prefix("https://").or_else(|| host.strip_prefix("http://")).unwrap_or(host);
    host.split('/').next().unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_file_that_is_named_or_there_is_read() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(dir.path().join(".docker")).expect("a directory");
        let at_home = dir.path().join(".docker/config.json");
        let home = |name: &str| (name == "HOME").then(|| dir.path().to_owned());
        assert_eq!(file(&home), None);
        std::fs::write(&at_home, "{}").expect("a file");
        assert_eq!(file(&home), Some(at_home));
        let named =
            |name: &str| (name == "REGISTRY_AUTH_FILE").then(|| PathBuf::from("/etc/logins")).or_else(|| home(name));
        assert_eq!(file(&named), Some(PathBuf::from("/etc/logins")));
        let of_docker = |name: &str| (name == "DOCKER_CONFIG").then(|| PathBuf::from("/etc/docker"));
        assert_eq!(file(&of_docker), Some(PathBuf::from("/etc/docker/config.json")));
    }

    #[test]
    fn logins_are_read_and_mistakes_do_not_show_passwords() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("config.json");
        let auth = BASE64.encode(b"anna:se:cret");
        let text = format!(
            r#"{{"auths": {{"https://registry.example:5000/v1/": {{"auth": "{auth}"}}, "kept.example": {{}}}}}}"#
        );
        std::fs::write(&path, text).expect("a file");
        let logins = read(&path).expect("it is well formed");
        let login = logins.first().expect("one has a password");
        assert_eq!((logins.len(), login.host.as_str(), login.user.as_str()), (1, "registry.example:5000", "anna"));
        for text in
            [r#"{"auths": {"a.example": {"auth": "c2VjcmV0"}}}"#, r#"{"auths": {"a.example": {"auth": ["secret"]}}}"#]
        {
            std::fs::write(&path, text).expect("a file");
            let trouble = read(&path).expect_err("it is not well formed");
            assert!(!trouble.message.contains("secret") && !trouble.message.contains("c2Vj"), "{}", trouble.message);
        }
        let source: Source = "https://models.example/chat.gguf".parse().expect("an address");
        assert!(logins_of(&source).is_empty());
    }

    fn logins_of(source: &Source) -> Vec<RegistryLogin> {
        super::logins(source).expect("no file is read")
    }
}
