//! Who comes with a certificate or a token instead of a key of ours: both were believed before, and name an app or nobody.

use super::{Caller, Callers};
use crate::errors::{Code, Problem};
use crate::limits::LINK_BYTES;
use crate::tls::Shown;
use crate::tokens::Tokens;

impl Callers {
    /// The app of a certificate.
    pub(super) fn bearer(&self, shown: &Shown) -> Result<Caller, Problem> {
        let table = self.table();
        let found = shown.0.iter().find_map(|name| table.by_certificate.get(name));
        found.cloned().ok_or_else(|| {
            let first = shown.0.iter().find_map(|name| printed(name));
            let text = match &first {
                Some(name) if shown.0.len() > 1 => format!("it is of {name} and {} others", shown.0.len() - 1),
                Some(name) => format!("it is of {name}"),
                None => "it has no DNS name or URI that could be linked to one".to_owned(),
            };
            let name = first.map_or_else(|| "NAME_IN_CERTIFICATE".to_owned(), |name| for_shell(&name));
            Problem::new(Code::WrongKey, format!("the certificate is of no app here: {text}"))
                .help(format!("hither apps add APP --certificate {name}"))
        })
    }

    /// The app of a token.
    pub(super) fn subject(&self, tokens: &Tokens, token: &str) -> Result<Caller, Problem> {
        let subject = tokens.subject(token).map_err(|why| {
            Problem::new(Code::WrongToken, format!("the token is refused: {why}"))
                .help("ask the issuer for a new token, for this node")
        })?;
        self.table().by_subject.get(&subject).cloned().ok_or_else(|| {
            let printed = printed(&subject);
            let claim = &tokens.rules().claim;
            let text = match &printed {
                Some(value) => format!("the token is of no app here: its {claim} is {value}"),
                None => format!("the token is of no app here: its {claim} cannot be linked to one"),
            };
            let value = printed.map_or_else(|| "VALUE".to_owned(), |value| for_shell(&value));
            Problem::new(Code::WrongToken, text).help(format!("hither apps add APP --subject {value}"))
        })
    }
}

/// A name that can be shown, and linked: it is as long as a link may be, and has no blanks or signs that move a cursor.
fn printed(name: &str) -> Option<String> {
    (is_link(name)).then(|| name.to_owned())
}

/// Whether a text can be what makes an app known.
pub(crate) fn is_link(name: &str) -> bool {
    (1..=LINK_BYTES).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A name as a shell takes it, whatever signs it has.
fn for_shell(name: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/@+=,%".contains(&byte);
    if name.bytes().all(is_plain) && !name.starts_with('-') {
        return name.to_owned();
    }
    format!("'{}'", name.replace('\'', r"'\''"))
}
