//! `list "notebook_note"`: finds the notes that exist, for `terraform query`.

use tfplugin::{Cx, Diagnostics, ListResource, Listed, Listing, Schema, Value};

use crate::note::{Note, NoteIdentity};
use crate::store::{Store, failed};

/// Finds notes.
#[derive(Schema)]
pub(crate) struct NoteList {
    /// Only those on this shelf.
    #[attribute(optional)]
    shelf: Value<String>,
}

impl ListResource for NoteList {
    type Resource = Note;

    async fn list(cx: &Cx<Store>, config: Self, listing: &mut Listing<Note>) -> Result<(), Diagnostics> {
        let stored = cx.api()?.notes().map_err(failed("read the notes"))?;
        let shelf = config.shelf.as_deref();
        for note in stored.into_iter().filter(|note| shelf.is_none_or(|shelf| note.shelf == shelf)) {
            let found = Listed::new(NoteIdentity { id: note.id.clone() }, note.title.clone())
                .resource(Note::from_stored(note, Note::default()));
            if !listing.push(found).await {
                break;
            }
        }
        Ok(())
    }
}
