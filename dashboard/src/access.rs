//! Who may do what: the token, sessions, and how often a log-in may be tried. All in memory: a restart logs
//! everybody out.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rand::RngCore as _;
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};
use shared::secrets::LiveSecret;
use subtle::ConstantTimeEq as _;
use tokio::time::Instant;

/// How long a log-in holds: a night's shift.
pub(crate) const SESSION: Duration = Duration::from_secs(8 * 3600);

/// Sessions at a time; the oldest goes first.
const SESSIONS: usize = 200;

/// Failed log-ins are counted for so long …
const WINDOW: Duration = Duration::from_secs(300);
/// … and so many are let through from one address, …
const FAILURES_OF_ONE: usize = 5;
/// … and from all together.
const FAILURES_OF_ALL: usize = 50;

/// Somebody who is logged in.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// As given at log-in.
    pub(crate) name: String,
    /// What each form must send back.
    pub(crate) csrf: String,
    until: Instant,
    /// A hash of the token that opened it.
    token: [u8; 32],
}

/// How a log-in ended.
#[derive(Debug)]
pub(crate) enum LogIn {
    /// The new session's secret, for the cookie.
    In(String),
    /// The token is wrong.
    Wrong,
    /// Too many were wrong: not before then.
    Later(Duration),
}

/// See the module.
pub(crate) struct Access {
    token: Option<LiveSecret>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By a hash of the cookie's secret, so that looking one up takes no time that depends on it.
    sessions: HashMap<[u8; 32], Session>,
    failures: Vec<(IpAddr, Instant)>,
}

impl Access {
    pub(crate) fn new(token: Option<LiveSecret>) -> Self {
        Self { token, state: Mutex::default() }
    }

    /// Whether anybody can log in.
    pub(crate) fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Reads the token again, where it may have changed: who logged in with another has to log in again.
    pub(crate) async fn refresh(&self) {
        if let Some(token) = &self.token {
            token.current().await;
        }
    }

    fn right(&self) -> Option<[u8; 32]> {
        self.token.as_ref().map(|token| key(token.last().expose_secret().trim()))
    }

    /// Tries a token.
    pub(crate) fn log_in(&self, from: IpAddr, token: &str, name: &str) -> LogIn {
        let now = Instant::now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.failures.retain(|(_, at)| now.duration_since(*at) < WINDOW);
        let mine: Vec<Instant> =
            state.failures.iter().filter(|(address, _)| *address == from).map(|(_, at)| *at).collect();
        let full = mine.len() >= FAILURES_OF_ONE || state.failures.len() >= FAILURES_OF_ALL;
        if full {
            let oldest = mine.first().copied().or_else(|| state.failures.first().map(|(_, at)| *at));
            return LogIn::Later(oldest.map_or(WINDOW, |at| WINDOW.saturating_sub(now.duration_since(at))));
        }
        let Some(right) = self.right().filter(|right| right.ct_eq(&key(token.trim())).into()) else {
            state.failures.push((from, now));
            return LogIn::Wrong;
        };
        state.sessions.retain(|_, session| session.until > now);
        if state.sessions.len() >= SESSIONS
            && let Some(oldest) =
                state.sessions.iter().min_by_key(|(_, session)| session.until).map(|(key, _)| *key)
        {
            state.sessions.remove(&oldest);
        }
        let secret = random();
        let session = Session { name: name.to_owned(), csrf: random(), until: now + SESSION, token: right };
        state.sessions.insert(key(&secret), session);
        LogIn::In(secret)
    }

    /// The session of a cookie.
    pub(crate) fn session(&self, secret: &str) -> Option<Session> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let known = state.sessions.get(&key(secret)).filter(|session| session.until > Instant::now());
        known.filter(|session| self.right() == Some(session.token)).cloned()
    }

    /// Ends it.
    pub(crate) fn log_out(&self, secret: &str) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).sessions.remove(&key(secret));
    }
}

impl Session {
    /// Whether a form was made for this session.
    pub(crate) fn made(&self, csrf: &str) -> bool {
        self.csrf.as_bytes().ct_eq(csrf.as_bytes()).into()
    }
}

fn key(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

fn random() -> String {
    let mut bytes = [0; 32];
    rand::rng().fill_bytes(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use shared::secrets::SecretRef;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn access() -> Access {
        Access::new(Some(LiveSecret::fixed("right".into())))
    }

    #[tokio::test]
    async fn a_token_that_is_changed_ends_the_sessions_it_opened() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "first").unwrap();
        let token = LiveSecret::resolve(&SecretRef::file(file.path()), "DASHBOARD_TOKEN").await.unwrap();
        let access = Access::new(Some(token));
        let LogIn::In(secret) = access.log_in(HERE, "first", "Sari") else { panic!("refused") };
        std::fs::write(file.path(), "second").unwrap();
        access.refresh().await;
        assert!(access.session(&secret).is_none());
        assert!(matches!(access.log_in(HERE, "first", "Sari"), LogIn::Wrong));
        assert!(matches!(access.log_in(HERE, "second", "Sari"), LogIn::In(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_ends_by_itself_and_by_log_out() {
        let access = access();
        let LogIn::In(secret) = access.log_in(HERE, "right", "Sari") else { panic!("refused") };
        assert_eq!(access.session(&secret).unwrap().name, "Sari");
        assert!(access.session("another").is_none());
        tokio::time::advance(SESSION).await;
        assert!(access.session(&secret).is_none());
        let LogIn::In(secret) = access.log_in(HERE, "right", "Sari") else { panic!("refused") };
        access.log_out(&secret);
        assert!(access.session(&secret).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn after_five_wrong_tokens_the_right_one_has_to_wait_too() {
        let access = access();
        for _ in 0..FAILURES_OF_ONE {
            assert!(matches!(access.log_in(HERE, "wrong", ""), LogIn::Wrong));
        }
        assert!(matches!(access.log_in(HERE, "right", ""), LogIn::Later(_)));
        let elsewhere = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
        assert!(matches!(access.log_in(elsewhere, "right", ""), LogIn::In(_)));
        tokio::time::advance(WINDOW).await;
        assert!(matches!(access.log_in(HERE, "right", ""), LogIn::In(_)));
    }

    #[test]
    fn without_a_token_nobody_gets_in() {
        assert!(matches!(Access::new(None).log_in(HERE, "", ""), LogIn::Wrong));
    }
}
