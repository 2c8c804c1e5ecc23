//! `notebook_notes`: a data source.

use tfplugin::{Cx, DataSource, Diagnostics, Schema, Value};

use crate::store::{Store, failed};

/// The notes on a shelf, or all of them.
#[derive(Schema)]
pub(crate) struct Notes {
    /// Only those on this shelf.
    #[attribute(optional)]
    shelf: Value<String>,
    /// What was found, by id.
    #[attribute(computed)]
    notes: Value<Vec<Found>>,
}

/// A note that was found.
#[derive(Schema)]
pub(crate) struct Found {
    /// Identifies the note.
    #[attribute(computed)]
    id: String,
    /// What it is called.
    #[attribute(computed)]
    title: String,
}

impl DataSource for Notes {
    type Api = Store;

    const NAME: &'static str = "notebook_notes";

    async fn read(cx: &Cx<Store>, config: Self) -> Result<Self, Diagnostics> {
        let stored = cx.api()?.notes().map_err(failed("read the notes"))?;
        let shelf = config.shelf.as_deref();
        let wanted = stored.into_iter().filter(|note| shelf.is_none_or(|shelf| note.shelf == shelf));
        let notes = wanted.map(|note| Found { id: note.id, title: note.title }).collect::<Vec<_>>();
        Ok(Self { notes: notes.into(), ..config })
    }
}
