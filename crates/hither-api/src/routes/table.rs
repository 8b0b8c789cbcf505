//! Routes that can be counted: axum does not tell which it has, and whoever describes them must know.

use axum::Router;
use axum::routing::MethodRouter;

use super::App;

/// Routes, and in tests their paths.
pub(crate) struct Routes {
    router: Router<App>,
    #[cfg(test)]
    paths: Vec<String>,
}

impl Routes {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self {
            router: Router::new(),
            #[cfg(test)]
            paths: Vec::new(),
        }
    }

    /// With one more.
    pub(crate) fn route(mut self, path: &str, methods: MethodRouter<App>) -> Self {
        self.router = self.router.route(path, methods);
        #[cfg(test)]
        self.paths.push(path.to_owned());
        self
    }

    /// With those of another.
    pub(crate) fn merge(mut self, other: Self) -> Self {
        self.router = self.router.merge(other.router);
        #[cfg(test)]
        self.paths.extend(other.paths);
        self
    }

    /// As axum takes them.
    pub(crate) fn into_router(self) -> Router<App> {
        self.router
    }

    /// The paths, as axum writes them.
    #[cfg(test)]
    pub(crate) fn paths(&self) -> &[String] {
        &self.paths
    }
}
