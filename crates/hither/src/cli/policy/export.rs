//! `hither policy export`: a policy in a language for which others have tools.

use std::path::Path;

use hither_law::{CEDAR_SCHEMA, cedar as written};
use serde_json::json;

use super::{head, head_object, load};
use crate::cli::Context;
use crate::output::{Exit, Trouble};

/// What the files are called.
const NAMES: [&str; 2] = ["policy.cedar", "policy.cedarschema"];

/// Writes or shows a policy as a Cedar policy set and its schema.
pub(super) fn export(context: &Context, file: &Path, cedar: bool, to: Option<&Path>) -> Result<(), Trouble> {
    if !cedar {
        let text = "a policy can be exported to Cedar, and nothing says that it should be";
        let help = format!("hither policy export --cedar {}", file.display());
        return Err(Trouble::new("E0338", text).help(help).exit(Exit::Usage));
    }
    let policy = load(file)?;
    let texts = [written(&policy), CEDAR_SCHEMA.to_owned()];
    if let Some(dir) = to {
        write(dir, &texts)?;
    }
    let object = json!({
        "policy": head_object(&policy), "to": to.map(|dir| dir.display().to_string()),
        "policies": texts[0], "schema": texts[1],
    });
    context.screen.answer(&object, |colour| match to {
        Some(dir) => {
            let [policies, schema] = NAMES.map(|name| dir.join(name).display().to_string());
            format!("{} {}: {policies} and {schema}\n", colour.green("ok"), head(&policy))
        }
        None => format!("{}\n// {}\n\n{}", texts[0], NAMES[1], texts[1]),
    });
    Ok(())
}

fn write(dir: &Path, texts: &[String; 2]) -> Result<(), Trouble> {
    let help = "name a folder that you may write to: --to DIR";
    std::fs::create_dir_all(dir)
        .map_err(|error| Trouble::new("E0339", format!("cannot make {}: {error}", dir.display())).help(help))?;
    for (name, text) in NAMES.iter().zip(texts) {
        let path = dir.join(name);
        std::fs::write(&path, text)
            .map_err(|error| Trouble::new("E0339", format!("cannot write {}: {error}", path.display())).help(help))?;
    }
    Ok(())
}
