//! `hither init`: a new mesh, with this node as its first member.

use clap::Args;
use hither_node::{InitError, InitOptions};
use hither_types::id::{Operator, SiteName};
use hither_types::place::Jurisdiction;
use serde_json::json;

use super::{Context, parse};
use crate::output::{Exit, Trouble, chain};

/// What `init` is told.
#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// The site of this node.
    #[arg(long, value_name = "NAME", value_parser = parse::site)]
    site: SiteName,
    /// Where it stands: ISO 3166, such as DE or DE-BY.
    #[arg(long, value_name = "CODE", value_parser = parse::jurisdiction)]
    jurisdiction: Jurisdiction,
    /// The legal entity that runs the mesh; the site's name if absent.
    #[arg(long, value_name = "NAME", value_parser = parse::operator)]
    operator: Option<Operator>,
    /// A country that can compel the operator, such as one where it or its parent company is registered; once for each. The
    /// country of this node if absent. Nodes of the same operator that are let in later have the same.
    #[arg(long, value_name = "CODE", value_parser = parse::jurisdiction)]
    control: Vec<Jurisdiction>,
}

/// Makes the mesh.
pub(super) fn init(context: &Context, args: InitArgs) -> Result<(), Trouble> {
    let data_dir = context.data_dir()?;
    let operator = match args.operator {
        Some(operator) => operator,
        None => parse::operator(args.site.as_str())
            .map_err(|error| Trouble::new("E0120", error).help("hither init --operator NAME …").exit(Exit::Usage))?,
    };
    let dir = data_dir.display().to_string();
    let (site, jurisdiction) = (args.site.clone(), args.jurisdiction);
    let control = Some(args.control).filter(|control| !control.is_empty());
    let options = InitOptions { data_dir, site, jurisdiction, operator, control };
    let done = hither_node::init(options).map_err(|error| match &error {
        InitError::AlreadyMember(_) => Trouble::new("E0121", chain(&error))
            .help(format!("hither status --data {dir}"))
            .help(format!("hither init --data DIR …     makes another mesh elsewhere; {dir} stays as it is")),
        InitError::Control(_) => Trouble::new("E0120", chain(&error)).exit(Exit::Usage),
        InitError::Running(_) => Trouble::new("E0122", chain(&error)).help(format!("hither status --data {dir}")),
        _ => Trouble::new("E0123", chain(&error)),
    })?;
    let files: Vec<String> = done.files.iter().map(|file| file.display().to_string()).collect();
    let object = json!({
        "node": done.node.to_string(), "mesh": done.mesh.to_string(), "site": args.site.as_str(),
        "jurisdiction": args.jurisdiction.to_string(), "files": files,
    });
    context.screen.answer(&object, |colour| {
        let mut text = format!(
            "A new mesh {} with {} ({}) as its first member, node {}.\n",
            done.mesh.short(),
            colour.bold(args.site.as_str()),
            args.jurisdiction,
            done.node.short()
        );
        files.iter().for_each(|file| text.push_str(&format!("  wrote {file}\n")));
        text.push_str(&format!("  {} hither up --data {dir}\n", colour.green("next:")));
        text
    });
    Ok(())
}
