//! A pseudo-terminal for a program that behaves otherwise on one.

use std::process::Stdio;

use tokio::process::Command;

use super::site::Site;

/// `standalone` with these arguments under `script` of util-linux, which gives it a terminal, passes on what is
/// typed, and ends with its status. What it writes to the terminal comes out of the command's standard output.
pub fn in_terminal(site: &Site, arguments: &[&str]) -> Command {
    let inner = site.command(arguments);
    let inner = inner.as_std();
    // None of it holds a quotation mark or a space.
    let words = std::iter::once(inner.get_program()).chain(inner.get_args());
    let line: Vec<&str> = words.map(|word| word.to_str().expect("an argument in UTF-8")).collect();
    let mut command = Command::new("script");
    command
        .args(["--quiet", "--return", "--flush", "--command", &line.join(" "), "/dev/null"])
        .env_clear()
        .envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .env("TERM", "xterm")
        .env("PATH", "/usr/bin:/bin")
        .current_dir(site.work())
        .stdin(Stdio::piped());
    command
}
