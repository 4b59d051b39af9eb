//! Where a service is taken from: decided in one way for all of them.

use std::path::PathBuf;

/// A kind of service.
pub(super) struct Service {
    /// As people call it.
    pub(super) name: &'static str,
    /// The variable that may name a server.
    pub(super) variable: &'static str,
    /// The folder of its programs on this machine, where they are here.
    pub(super) programs: fn() -> Option<PathBuf>,
    /// The package that brings them.
    pub(super) package: &'static str,
}

/// Where one is taken from.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A server that the environment names by its URL.
    Env(String),
    /// Programs on this machine, in this folder.
    Local(PathBuf),
    /// An image.
    Docker,
}

impl Service {
    /// A URL in the environment, or programs on this machine, or Docker where this build is with it; the one that
    /// `TEST_SERVICES` says, where it says one.
    pub(super) fn choose(&self) -> Result<Source, String> {
        self.choose_by(|name| std::env::var(name).ok(), cfg!(feature = "docker"))
    }

    /// For tests that need a server of their own, to kill it or to set it up in their own way.
    pub(super) fn own(&self) -> Result<PathBuf, String> {
        (self.programs)().ok_or_else(|| format!("a test needs {} of its own; {}", self.name, self.install()))
    }

    fn choose_by(
        &self,
        environment: impl Fn(&str) -> Option<String>,
        with_docker: bool,
    ) -> Result<Source, String> {
        let set = |name| environment(name).filter(|value| !value.trim().is_empty());
        let url = || set(self.variable).map(Source::Env);
        let programs = || (self.programs)().map(Source::Local);
        match set("TEST_SERVICES").as_deref() {
            None => {
                url().or_else(programs).or_else(|| with_docker.then_some(Source::Docker)).ok_or_else(|| {
                    format!(
                        "no {}; {}, or set {}, or run: {WITH_DOCKER}",
                        self.name,
                        self.install(),
                        self.variable
                    )
                })
            }
            Some("env") => {
                url().ok_or_else(|| format!("TEST_SERVICES=env, and {} is not set", self.variable))
            }
            Some("local") => programs().ok_or_else(|| {
                format!("TEST_SERVICES=local, and {} is not installed; {}", self.name, self.install())
            }),
            Some("docker") if with_docker => Ok(Source::Docker),
            Some("docker") => {
                Err(format!("TEST_SERVICES=docker, and this build is without it; run: {WITH_DOCKER}"))
            }
            Some(other) => Err(format!("TEST_SERVICES: found '{other}'; accepted: env, local, docker")),
        }
    }

    fn install(&self) -> String {
        format!("run scripts/install-services, or install the package {}", self.package)
    }
}

const WITH_DOCKER: &str = "cargo test --workspace --locked --features tests/docker";

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(here: bool, with_docker: bool, environment: &[(&str, &str)]) -> Result<Source, String> {
        let programs: fn() -> Option<PathBuf> = if here { || Some("/bin".into()) } else { || None };
        let service = Service { name: "Server", variable: "TEST_URL", programs, package: "server" };
        let value = |name: &str| {
            environment.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned())
        };
        service.choose_by(value, with_docker)
    }

    #[test]
    fn the_first_that_is_there_is_taken() {
        let (url, local) = (Source::Env("x://y".into()), Source::Local("/bin".into()));
        let named: &[_] = &[("TEST_URL", "x://y")];
        assert_eq!(choose(true, true, named), Ok(url));
        assert_eq!(choose(true, true, &[("TEST_URL", " ")]), Ok(local));
        assert_eq!(choose(false, true, &[]), Ok(Source::Docker));
        let missing = choose(false, false, &[]).unwrap_err();
        for way in ["scripts/install-services", "the package server", "TEST_URL", "tests/docker"] {
            assert!(missing.contains(way), "{missing}");
        }
    }

    #[test]
    fn what_is_forced_is_taken_or_refused() {
        let forced = |how: &'static str| vec![("TEST_URL", "x://y"), ("TEST_SERVICES", how)];
        assert_eq!(choose(true, true, &forced("env")), Ok(Source::Env("x://y".into())));
        assert_eq!(choose(true, true, &forced("local")), Ok(Source::Local("/bin".into())));
        assert_eq!(choose(true, true, &forced("docker")), Ok(Source::Docker));
        assert_eq!(choose(true, true, &forced("")), Ok(Source::Env("x://y".into())));
        for (here, environment, said) in [
            (true, vec![("TEST_SERVICES", "env")], "TEST_URL is not set"),
            (false, forced("local"), "the package server"),
            (true, forced("docker"), "tests/docker"),
            (true, forced("podman"), "accepted: env, local, docker"),
        ] {
            let error = choose(here, false, &environment).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }
}
