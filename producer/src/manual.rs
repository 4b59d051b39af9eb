//! What a shell completes, and the man pages; both from the flags themselves, so that neither is ever behind.

use std::io::{self, Write as _};
use std::path::Path;

use clap::{Args, CommandFactory as _};
use shared::status::{Status, fail};

use crate::flags::{Cli, Manual};

/// Prints what `manual` asks for of the program `name`.
pub fn print<Extra: Args>(name: &'static str, manual: &Manual) -> Status {
    let mut cli = Cli::<Extra>::command().name(name).bin_name(name);
    let printed = match manual {
        Manual::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut cli, name, &mut script);
            io::stdout().write_all(&script)
        }
        Manual::Man { folder } => pages(cli, folder),
    };
    match printed {
        Ok(()) => Status::Done,
        Err(error) => fail(&error),
    }
}

fn pages(cli: clap::Command, folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(cli, folder))
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", folder.display())))
}
