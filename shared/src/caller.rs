//! Who runs this process: for locks, and for the record of what operators did.

use crate::clock::Clock;

/// OS user and host, as `USER@HOST`.
pub fn who() -> String {
    let user = ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    format!("{}@{}", user.as_deref().unwrap_or("unknown"), host())
}

/// A name that no other process has: two containers of one name have the same process id, too.
pub fn holder(clock: &Clock) -> String {
    format!("{}:{}:{:x}", host(), std::process::id(), clock.micros())
}

fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .or_else(|| std::env::var("HOSTNAME").ok())
        .map_or_else(|| "localhost".into(), |name| name.trim().to_owned())
}
