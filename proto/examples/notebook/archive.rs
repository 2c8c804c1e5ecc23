//! `notebook_archive`: an action.

use tfplugin::{Action, Cx, Diagnostic, Diagnostics, Progress, Schema, Value};

use crate::store::{Store, failed};

/// Copies all notes into a directory beside them.
#[derive(Schema)]
pub(crate) struct Archive {
    /// The name of that directory.
    #[attribute(required, validate = directory_name)]
    name: Value<String>,
}

fn directory_name(name: &str) -> Result<(), String> {
    let plain = name.chars().all(|c| c.is_alphanumeric() || c == '-');
    if plain && !name.is_empty() { Ok(()) } else { Err("use letters, digits and dashes".into()) }
}

impl Action for Archive {
    type Api = Store;

    const NAME: &'static str = "notebook_archive";

    async fn invoke(cx: &Cx<Store>, config: Self, progress: &Progress) -> Result<(), Diagnostics> {
        let store = cx.api()?;
        let archive = config.name.as_deref().unwrap_or_default();
        let notes = store.notes().map_err(failed("read the notes"))?;
        for (note, at) in notes.iter().zip(1..) {
            if cx.is_cancelled() {
                return Err(Diagnostic::error("Interrupted before all notes were archived").into());
            }
            store.note_archive(note, archive).map_err(failed("archive a note"))?;
            progress.say(format!("{at} of {}: {}", notes.len(), note.title)).await;
        }
        Ok(())
    }
}
