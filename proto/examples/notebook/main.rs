//! A whole provider to copy from: it keeps notes as files in a directory.
//!
//! One file for each thing it offers. `store.rs` stands for the service that a real provider talks
//! to, and knows nothing of Terraform; everything else knows nothing of files.
//!
//! `README.md` of this crate shows how to try it.

mod archive;
mod lock;
mod note;
mod note_list;
mod notes;
mod slug;
mod store;

use std::path::PathBuf;
use std::process::ExitCode;

use tfplugin::{Client, Diagnostic, Diagnostics, Provider, Schema, Server, Value};

use crate::store::Store;

/// Keeps notes as files in a directory.
#[derive(Schema)]
struct Notebook {
    /// Where the notes are. Otherwise it is taken from the environment variable
    /// `NOTEBOOK_DIRECTORY`.
    #[attribute(optional)]
    directory: Value<String>,
}

impl Provider for Notebook {
    type Api = Store;

    const NAME: &'static str = "notebook";

    async fn configure(config: Self, _client: &Client, diags: &mut Diagnostics) -> Option<Store> {
        let directory = match config.directory {
            Value::Known(directory) => PathBuf::from(directory),
            // It comes from something that does not exist yet. Plans can be made without it.
            Value::Unknown => return None,
            Value::Null => match std::env::var_os("NOTEBOOK_DIRECTORY") {
                Some(directory) => directory.into(),
                None => {
                    diags.push(
                        Diagnostic::error("The notebook has no directory")
                            .detail("Set `directory`, or the environment variable NOTEBOOK_DIRECTORY.")
                            .at("directory"),
                    );
                    return None;
                }
            },
        };
        Some(Store::new(directory))
    }
}

fn main() -> ExitCode {
    server().serve()
}

fn server() -> Server<Notebook> {
    Server::new("registry.terraform.io/example/notebook")
        .resource::<note::Note>()
        .data_source::<notes::Notes>()
        .ephemeral_resource::<lock::Lock>()
        .function::<slug::Slug>()
        .list_resource::<note_list::NoteList>()
        .action::<archive::Archive>()
}
