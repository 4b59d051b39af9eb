//! A hold on a connection's socket, to cut it: lapin has no time-out of its own for its handshake, and its thread
//! lives for as long as its socket does.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Debug, Default)]
enum State {
    #[default]
    Connecting,
    Held(TcpStream),
    Cut,
}

/// Clones hold the same socket. It is cut when told to, not when dropped.
#[derive(Clone, Debug, Default)]
pub(super) struct Socket(Arc<Mutex<State>>);

impl Socket {
    /// Takes hold of a socket that has just connected; an error if it was cut before.
    pub(super) fn hold(&self, socket: &impl AsFd) -> io::Result<()> {
        let held = TcpStream::from(socket.as_fd().try_clone_to_owned()?);
        let mut state = self.state();
        if matches!(*state, State::Cut) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        *state = State::Held(held);
        Ok(())
    }

    /// Ends the connection at once: whoever reads from it sees its end.
    pub(super) fn cut(&self) {
        let mut state = self.state();
        if let State::Held(socket) = &*state {
            // It fails where the connection is gone already.
            let _ = socket.shutdown(Shutdown::Both);
        }
        *state = State::Cut;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Cuts a socket when dropped, unless told to keep it.
pub(super) struct CutOnDrop(Option<Socket>);

impl CutOnDrop {
    pub(super) fn new(socket: Socket) -> Self {
        Self(Some(socket))
    }

    pub(super) fn keep(mut self) -> Option<Socket> {
        self.0.take()
    }
}

impl Drop for CutOnDrop {
    fn drop(&mut self) {
        if let Some(socket) = &self.0 {
            socket.cut();
        }
    }
}
