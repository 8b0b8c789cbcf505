//! `hither models signature`, and what `hither models add --signature` does before a node hears of a model: whether files are
//! those that somebody signed whom the operator believes. No node and no network is asked.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::Args;
use data_encoding::HEXLOWER;
use hither_provenance::{
    Authorities, Bundle, Checked, ContentError, KeyError, PublicKey, Rules, SignatureError, Signed, Signer, Trust,
    Unsigned,
};
use hither_types::unit::ByteCount;
use serde_json::{Value, json};

use super::super::Context;
use crate::output::{Colour, Exit, Trouble, chain, plain};

/// The most that is read of a file with keys or certificates; the crate refuses what is larger, and says so.
const PEM_READ: u64 = (1 << 20) + 1;

/// Bytes of the text in the catalog that says who signed a model.
const ENTRY_MAX: usize = 256;

/// What to check.
#[derive(Debug, Args)]
pub(crate) struct SignatureArgs {
    /// The model: one file, or the directory that was signed. Of a directory everything counts that the signature does not
    /// leave out; of a signature over several files, one file by itself counts under its own name.
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// The signature: a bundle of OpenSSF Model Signing 1.0, such as model.sig.
    #[arg(long, value_name = "BUNDLE", requires = "whom")]
    signature: PathBuf,
    #[command(flatten)]
    whom: WhomArgs,
}

/// Whom to believe, and what does not count.
#[derive(Debug, Args)]
pub(crate) struct WhomArgs {
    /// Believe who signed with this key: a PEM file with its public half (P-256, P-384 or P-521).
    #[arg(long, value_name = "PUBLIC.pem", group = "whom", requires = "signature")]
    key: Option<PathBuf>,
    /// Believe who has a certificate of these authorities: a PEM file with theirs, or with that of the signer.
    #[arg(long, value_name = "CA.pem", group = "whom", requires = "signature")]
    certificates: Option<PathBuf>,
    /// A path in the directory that does not count, beside those that the signature leaves out. May be given several times.
    #[arg(long, value_name = "PATH", requires = "signature")]
    ignore_paths: Vec<PathBuf>,
    /// Pass over files in the directory that were not signed, instead of refusing it.
    #[arg(long, requires = "signature")]
    ignore_unsigned_files: bool,
}

/// What was signed, by somebody who is believed.
pub(super) struct Proven {
    signed: Signed,
    rules: Rules,
}

/// Does it.
pub(super) fn signature(context: &Context, asked: &SignatureArgs) -> Result<(), Trouble> {
    let proven = proven(&asked.signature, &asked.whom)?;
    let checked = proven.check(&asked.path)?;
    let files: Vec<Value> = checked
        .files
        .iter()
        .map(|file| {
            let path = file.path.display().to_string();
            json!({"name": file.name, "path": path, "size": file.size, "blake3": HEXLOWER.encode(&file.blake3)})
        })
        .collect();
    let object = json!({
        "signer": proven.signer(), "model": proven.signed.model(), "digest": proven.signed.digest(), "files": files,
        "not_looked_at": checked.others,
    });
    context.screen.answer(&object, |colour| {
        let bytes = ByteCount(checked.files.iter().map(|file| file.size).sum());
        let rest = match checked.others {
            0 => String::new(),
            others => format!("; {others} more were signed and not looked at"),
        };
        let count = checked.files.len();
        let what = if count == 1 { "1 file".to_owned() } else { format!("{count} files") };
        format!("{} {what}, {bytes}, as signed{rest}\n  {}\n", colour.green("ok"), proven.words(colour))
    });
    Ok(())
}

/// Reads a bundle, and finds out whether somebody signed it whom one believes.
pub(super) fn proven(bundle: &Path, whom: &WhomArgs) -> Result<Proven, Trouble> {
    let trust = trust(whom)?;
    let read = Bundle::read(bundle).map_err(|error| {
        Trouble::new("E0147", format!("the signature {} cannot be used: {}", bundle.display(), told(&error)))
            .help("give the bundle that the model's publisher made, often model.sig or *.sig")
            .exit(Exit::Usage)
    })?;
    let signed = read.verify(&trust, SystemTime::now()).map_err(|error| {
        let trouble = Trouble::new("E0148", format!("{} is not believed: {}", bundle.display(), told(&error)));
        trouble.help(advice(&error))
    })?;
    let left_out = whom.ignore_paths.iter().cloned().chain([bundle.to_owned()]).collect();
    let unsigned = if whom.ignore_unsigned_files { Unsigned::Permit } else { Unsigned::Refuse };
    Ok(Proven { signed, rules: Rules { left_out, unsigned } })
}

impl Proven {
    /// Compares files with what was signed.
    pub(super) fn check(&self, path: &Path) -> Result<Checked, Trouble> {
        self.signed.check(path, &self.rules).map_err(|error| {
            let trouble = Trouble::new("E0149", format!("{} is not as signed: {}", path.display(), told(&error)));
            let help = match &error {
                ContentError::Altered { .. } | ContentError::Missing { .. } => {
                    "fetch the model again from its publisher"
                }
                ContentError::Unsigned { .. } => {
                    "remove them, or pass over them: --ignore-paths PATH, --ignore-unsigned-files"
                }
                ContentError::NotListed { .. } => "give the file the name that was signed, or give the directory",
                _ => "",
            };
            trouble.help(help).note(self.words(Colour::Off))
        })
    }

    /// Compares the files of which a node shall take something, in the directory that was given or each by itself. Gives the
    /// BLAKE3 of each.
    pub(super) fn check_all(&self, source: &Path, files: &[&Path]) -> Result<Vec<[u8; 32]>, Trouble> {
        let whole = if source.is_dir() { Some(self.check(source)?) } else { None };
        let digest = |path: &&Path| {
            let alone = if whole.is_some() { None } else { Some(self.check(path)?) };
            let file = whole.as_ref().or(alone.as_ref()).and_then(|checked| checked.file(path));
            let file = file.ok_or_else(|| {
                let text = format!("{} is not as signed: the signature leaves it out", path.display());
                Trouble::new("E0149", text).help("give the path of a file that was signed")
            })?;
            Ok(file.blake3)
        };
        files.iter().map(digest).collect()
    }

    /// Who signed, for a machine.
    pub(super) fn signer(&self) -> Value {
        match self.signed.signer() {
            Signer::Key { fingerprint } => json!({"method": "key", "fingerprint": fingerprint}),
            Signer::Certificate { subject, issuer, fingerprint } => json!({
                "method": "certificate", "subject": subject, "issuer": issuer, "fingerprint": fingerprint,
            }),
        }
    }

    /// Who signed, for the catalog: one line of at most 256 bytes, with what cannot be mistaken first.
    pub(super) fn entry(&self) -> String {
        let said = match self.signed.signer() {
            Signer::Key { fingerprint } => format!("key sha256:{fingerprint}"),
            Signer::Certificate { subject, fingerprint, .. } => format!("certificate sha256:{fingerprint} {subject}"),
        };
        bounded(&plain(&said))
    }

    /// Who signed, for a person.
    pub(super) fn words(&self, colour: Colour) -> String {
        let who = match self.signed.signer() {
            Signer::Key { fingerprint } => format!("the key {fingerprint}"),
            Signer::Certificate { subject, issuer, .. } => format!("{subject}, certified by {issuer}"),
        };
        format!("{} {}", colour.bold("signed by"), plain(&who))
    }
}

/// As much of a text as an entry of the catalog takes.
fn bounded(text: &str) -> String {
    if text.len() <= ENTRY_MAX {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(ENTRY_MAX - '…'.len_utf8());
    format!("{}…", &text[..end])
}

fn trust(whom: &WhomArgs) -> Result<Trust, Trouble> {
    let unusable = |path: &Path, error: &dyn std::error::Error| {
        Trouble::new("E0147", format!("{} cannot be used: {}", path.display(), told(error))).exit(Exit::Usage)
    };
    let read = |path: &Path| {
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(|error| unusable(path, &error))?;
        file.take(PEM_READ).read_to_end(&mut bytes).map_err(|error| unusable(path, &error))?;
        Ok(bytes)
    };
    let wrong = |path: &Path| {
        let path = path.to_owned();
        move |error: KeyError| unusable(&path, &error)
    };
    match (&whom.key, &whom.certificates) {
        (Some(path), _) => PublicKey::from_pem(&read(path)?).map(Trust::Key).map_err(wrong(path)),
        (None, Some(path)) => Authorities::from_pem(&read(path)?).map(Trust::Authorities).map_err(wrong(path)),
        (None, None) => Err(Trouble::new("E0147", "nobody says whom to believe")
            .help("add --key PUBLIC.pem or --certificates CA.pem")
            .exit(Exit::Usage)),
    }
}

/// An error, safe for a terminal: it may quote what somebody else wrote.
fn told(error: &dyn std::error::Error) -> String {
    plain(&chain(error))
}

/// What to type next.
fn advice(error: &SignatureError) -> &'static str {
    match error {
        SignatureError::Method { .. } => {
            "a method of key takes --key PUBLIC.pem, one of certificate --certificates CA.pem"
        }
        SignatureError::Sigstore => {
            "check it with a program that asks Sigstore, and add the model with --sha256 DIGITS"
        }
        SignatureError::Hint { .. } | SignatureError::Altered => "get the key or the bundle again from the publisher",
        SignatureError::Certificate(_) => {
            "ask the publisher for a bundle of a valid certificate, and for its authority's"
        }
        _ => "",
    }
}
