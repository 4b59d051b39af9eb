//! Servers from images. A container is removed when the test process is gone, however it ends.

/// What is run.
pub(super) struct Image {
    pub(super) name: &'static str,
    pub(super) tag: &'static str,
    /// Ports to be reached from here.
    pub(super) ports: &'static [u16],
    pub(super) environment: &'static [(&'static str, &'static str)],
    pub(super) command: &'static [&'static str],
}

/// A container that runs; whether the server in it is up is for the caller to find out.
pub(super) struct Container {
    pub(super) host: String,
    /// Where each of the image's ports is reached.
    pub(super) ports: Vec<u16>,
    #[cfg(feature = "docker")]
    _removed_with_us: running::Removed,
}

#[cfg(not(feature = "docker"))]
impl Image {
    pub(super) async fn run(&self) -> Result<Container, String> {
        // Nobody is sent here by such a build.
        Err(format!("{}:{}: this build is without Docker", self.name, self.tag))
    }
}

#[cfg(feature = "docker")]
mod running {
    use std::os::unix::process::CommandExt as _;
    use std::process::{Child, Command, Stdio};

    use testcontainers::core::IntoContainerPort as _;
    use testcontainers::runners::AsyncRunner as _;
    use testcontainers::{ContainerAsync, GenericImage, ImageExt as _};

    use super::{Container, Image};

    /// Removes a container when this process is gone: a value that all tests share is never dropped.
    pub(super) struct Removed {
        _container: Box<ContainerAsync<GenericImage>>,
        /// Held for its standard input.
        _watchdog: Child,
    }

    impl Image {
        pub(in super::super) async fn run(&self) -> Result<Container, String> {
            // Asked for first: it says best what is wrong, and removes the container in the end.
            let docker = Command::new("docker").args(["version", "--format", "{{.Server.Version}}"]).output();
            let docker = docker.map_err(|error| format!("the command docker cannot be run: {error}"))?;
            if !docker.status.success() {
                return Err(String::from_utf8_lossy(&docker.stderr).trim().to_owned());
            }
            let failed = |error| format!("{}:{}: {}", self.name, self.tag, shared::error_chain(&error));
            let mut image = GenericImage::new(self.name, self.tag);
            for port in self.ports {
                image = image.with_exposed_port(port.tcp());
            }
            let mut request = image.with_cmd(self.command.iter().copied());
            for (name, value) in self.environment {
                request = request.with_env_var(*name, *value);
            }
            let container = request.start().await.map_err(failed)?;
            let watchdog = watchdog(container.id())?;
            let host = container.get_host().await.map_err(failed)?.to_string();
            let mut ports = Vec::new();
            for port in self.ports {
                ports.push(container.get_host_port_ipv4(port.tcp()).await.map_err(failed)?);
            }
            let removed = Removed { _container: Box::new(container), _watchdog: watchdog };
            Ok(Container { host, ports, _removed_with_us: removed })
        }
    }

    fn watchdog(container: &str) -> Result<Child, String> {
        let mut watchdog = Command::new("sh");
        watchdog.args(["-c", r#"cat >/dev/null; docker rm --force --volumes "$0""#, container]);
        // A group of its own: Ctrl-C is for the tests, and this one cleans up after them.
        watchdog.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        watchdog.spawn().map_err(|error| format!("sh cannot be started: {error}"))
    }
}
