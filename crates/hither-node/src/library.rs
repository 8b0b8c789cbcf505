//! Where ONNX Runtime is.

use std::path::PathBuf;

/// The file that the configuration names, else `$ORT_DYLIB_PATH`, else `lib/` beside the program, else the cache
/// that `make` fills, else a system library. `None`: ONNX models are refused, with the command that fixes it.
pub fn find(configured: Option<PathBuf>) -> Option<PathBuf> {
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

/// The directory of execution providers beside the library, if there is one.
pub fn providers_beside(library: &std::path::Path) -> Option<PathBuf> {
    library.parent().map(|dir| dir.join("providers")).filter(|dir| dir.is_dir())
}

fn newest(dir: &std::path::Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(dir).ok()?;
    entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).filter(|path| is_library(path)).max()
}

/// `libonnxruntime.so`, `libonnxruntime.so.1.32.0`; not the licence that lies beside it.
fn is_library(path: &std::path::Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let version = name.strip_prefix("libonnxruntime.so");
    version.is_some_and(|version| version.chars().all(|c| c == '.' || c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_library_is_found_and_the_notices_beside_it_are_not() {
        let dir = tempfile::tempdir().unwrap();
        for name in
            ["libonnxruntime.so.1.24.0", "libonnxruntime.so.1.32.0", "libonnxruntime.so.1.32.0.LICENSE", "other.so"]
        {
            std::fs::write(dir.path().join(name), b"").unwrap();
        }
        assert_eq!(newest(dir.path()), Some(dir.path().join("libonnxruntime.so.1.32.0")));
        assert_eq!(newest(&dir.path().join("absent")), None);
    }
}
