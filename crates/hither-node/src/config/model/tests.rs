//! What is said of one model, and what is wrong with it.

use std::path::Path;
use std::time::Duration;

use hither_core::PullPolicy;
use hither_types::id::ModelName;
use hither_types::model::{Device, DeviceChoice};

use crate::config::{ConfigError, NodeConfig, Overrides};

fn load(dir: &Path, text: &str) -> Result<NodeConfig, ConfigError> {
    std::fs::write(dir.join("hither.toml"), text).unwrap();
    NodeConfig::load(None, Overrides { data_dir: Some(dir.to_owned()), ..Overrides::default() })
}

fn fault(text: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let error = load(dir.path(), text).unwrap_err();
    let source = std::error::Error::source(&error).map(ToString::to_string);
    format!("{error}: {}", source.unwrap_or_default())
}

#[test]
fn devices_and_batches_are_read_for_all_models_and_for_one() {
    let dir = tempfile::tempdir().unwrap();
    let text = "[models]\ndevice = \"gpu\"\nproviders = \"eps\"\n\n[model.fraud]\nmax_batch = 16\nmax_delay_ms = 5\n\n\
                [model.\"vision/ocr\"]\ndevice = \"npu\"\n";
    let config = load(dir.path(), text).unwrap();
    let name = |name: &str| ModelName::parse(name).unwrap();
    let fraud = config.model(&name("fraud"));
    assert_eq!((fraud.max_batch, fraud.max_delay), (16, Duration::from_millis(5)));
    assert_eq!(fraud.device, Some(DeviceChoice::Only(Device::Gpu)));
    let ocr = config.model(&name("vision/ocr"));
    assert_eq!((ocr.device, ocr.max_batch), (Some(DeviceChoice::Only(Device::Npu)), 1));
    assert_eq!(config.model(&name("other")).device, Some(DeviceChoice::Only(Device::Gpu)));
    assert_eq!(config.providers, [dir.path().join("eps")]);
    let plain = load(dir.path(), "").unwrap().model(&name("fraud"));
    assert_eq!((plain.device, plain.max_batch), (Some(DeviceChoice::Auto), 1));
}

#[test]
fn who_fetches_and_what_stays_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let config = load(dir.path(), "[models]\npull = \"automatic\"\npinned = [\"org/chat\", \"fraud\"]\n").unwrap();
    assert_eq!(config.pull, PullPolicy::Automatic);
    assert_eq!(config.pinned.iter().map(ModelName::as_str).collect::<Vec<_>>(), ["fraud", "org/chat"]);
    let plain = load(dir.path(), "").unwrap();
    assert_eq!((plain.pull, plain.pinned.len()), (PullPolicy::OnDemand, 0));
}

#[test]
fn what_cannot_be_is_refused_with_the_reason() {
    for (text, wanted) in [
        ("[model.fraud]\nmax_batch = 2000", "model fraud has max_batch = 2000, and 1024 is the most"),
        ("[model.fraud]\nmax_batch = 2\nmax_delay_ms = 60000", "model fraud has max_delay_ms = 60000, and 1000 is"),
        ("[model.fraud]\nmax_delay_ms = 5", "model fraud has max_delay_ms and no max_batch"),
        ("[model.\"a b\"]\nmax_batch = 2", "[model.\"a b\"] is not about a model"),
        ("[model.fraud]\ndevice = \"tpu\"", "expected one of `auto`, `cpu`, `gpu`, `npu`"),
        ("[model.fraud]\nbatch = 2", "unknown field `batch`"),
        ("[models]\npinned = [\"a b\"]", "pinned under [models]: expected a model name"),
    ] {
        let found = fault(text);
        assert!(found.contains(wanted), "{wanted}: {found}");
    }
}
