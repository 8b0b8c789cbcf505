//! The models and the library that the demo needs. What is missing is named; nothing is replaced by a stub.

use std::path::{Path, PathBuf};

use crate::output::Trouble;

/// The files.
#[derive(Debug)]
pub(super) struct Assets {
    /// Card payments: fraud or not.
    pub(super) fraud: Tabular,
    /// Sensor readings: anomaly or not.
    pub(super) maintenance: Tabular,
    /// The language model.
    pub(super) language: PathBuf,
    /// ONNX Runtime.
    pub(super) library: PathBuf,
}

/// A tabular model and rows that it has not seen.
#[derive(Debug)]
pub(super) struct Tabular {
    /// The name in the catalog.
    pub(super) name: &'static str,
    /// The model.
    pub(super) model: PathBuf,
    /// The rows, with their true label in the last column.
    pub(super) rows: PathBuf,
}

impl Assets {
    /// Looks for everything, and names all that is missing at once.
    pub(super) fn find(models: Option<&Path>) -> Result<Self, Trouble> {
        let places = match models {
            Some(dir) => vec![dir.to_owned()],
            None => usual_places(),
        };
        let cache = cache_dir();
        let mut missing = Vec::new();
        let mut take = |candidates: Vec<PathBuf>| {
            // The nodes do not stand where the user does.
            let found = candidates.iter().find(|path| path.is_file());
            let found = found.map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone()));
            found.unwrap_or_else(|| {
                missing.extend(candidates.first().map(|path| path.display().to_string()));
                PathBuf::new()
            })
        };
        let mut model = |file: &str| take(places.iter().map(|dir| dir.join(file)).collect());
        let assets = Self {
            fraud: Tabular { name: "fraud", model: model("fraud.onnx"), rows: model("fraud.rows.csv") },
            maintenance: Tabular {
                name: "maintenance",
                model: model("maintenance.onnx"),
                rows: model("maintenance.rows.csv"),
            },
            language: take(vec![cache.join("models/SmolLM2-135M-Instruct.Q4_1.gguf")]),
            library: take(vec![cache.join("lib/libonnxruntime.so.1.32.0")]),
        };
        if missing.is_empty() {
            return Ok(assets);
        }
        let trouble = Trouble::new("E0901", "the demo runs real models only, and some of its files are missing");
        let trouble = missing.iter().fold(trouble, |trouble, file| trouble.note(format!("missing: {file}")));
        let looked: Vec<String> = places.iter().map(|dir| dir.display().to_string()).collect();
        Err(trouble
            .note(format!("looked for the tabular models in {}", looked.join(", ")))
            .help("scripts/fetch-models     in the repository: the language model and ONNX Runtime, into the cache")
            .help("hither demo --models DIR     if the tabular models are elsewhere"))
    }
}

/// Next to the program, in the repository that it was built from, below the working directory.
fn usual_places() -> Vec<PathBuf> {
    let beside = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join("models")));
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
    let built = std::fs::canonicalize(&built).unwrap_or(built);
    beside.into_iter().chain([built, PathBuf::from("models")]).collect()
}

/// `$HITHER_CACHE`, else `~/.cache/hither`.
pub(super) fn cache_dir() -> PathBuf {
    let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    var("HITHER_CACHE")
        .or_else(|| var("HOME").map(|dir| dir.join(".cache/hither")))
        .unwrap_or_else(|| std::env::temp_dir().join("hither"))
}
