//! The key of a server that refuses it: its file is read again, so that a right one needs no new start.

use std::sync::atomic::Ordering;

use super::Server;

impl Server {
    /// Reads the file of the key again; whether there was another one in it, which is sent from now on.
    pub(super) async fn read_key_anew(&self) -> bool {
        let Some(path) = &self.config.key_file else { return false };
        // One that cannot be read, or that cannot be sent, is about to be written: the one that is known stays.
        let Ok(bytes) = tokio::fs::read(path).await else { return false };
        let Ok(Some(endpoint)) = self.endpoint().with_key(String::from_utf8_lossy(&bytes).trim()) else { return false };
        tracing::info!(endpoint = %self.config.name, "its key_file has another key, which is tried now");
        self.endpoint.send_replace(endpoint);
        self.refuses.store(false, Ordering::Relaxed);
        true
    }
}
