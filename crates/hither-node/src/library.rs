//! Where ONNX Runtime is.

use std::path::PathBuf;

/// The file that the configuration names, else `$ORT_DYLIB_PATH`, else `lib/` beside the program, else the cache
/// that `make` fills, else a system library. `None`: ONNX models are refused, with the command that fixes it.
pub(crate) fn find(configured: Option<PathBuf>) -> Option<PathBuf> {
    let env = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let beside = std::env::current_exe().ok().and_then(|program| program.parent().map(|dir| dir.join("lib")));
    let cache = env("HITHER_CACHE").or_else(|| env("HOME").map(|home| home.join(".cache/hither")));
    let dirs = [
        beside,
        cache.map(|dir| dir.join("lib")),
        Some("/usr/lib/hither".into()),
        Some("/usr/lib/x86_64-linux-gnu".into()),
        Some("/usr/lib/aarch64-linux-gnu".into()),
        Some("/usr/local/lib".into()),
    ];
    configured.or_else(|| env("ORT_DYLIB_PATH")).or_else(|| dirs.into_iter().flatten().find_map(|dir| newest(&dir)))
}

fn newest(dir: &std::path::Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(dir).ok()?;
    let name = |path: &PathBuf| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("libonnxruntime.so"));
    entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).filter(name).max()
}
