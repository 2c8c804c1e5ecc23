//! `notebook_note`: a managed resource with a bit of everything.

use std::collections::{BTreeMap, BTreeSet};

use tfplugin::{
    Cx, Diagnostic, Diagnostics, Dynamic, ImportBy, Imported, MoveSource, Plan, Planned, Resource, Saved,
    Schema, Timeouts, Value,
};

use crate::store::{Store, StoredNote, StoredReminder, failed};

/// A note on a shelf.
#[derive(Schema, Default)]
pub(crate) struct Note {
    /// Identifies the note for as long as it exists.
    #[attribute(computed, keeps_prior)]
    id: Value<String>,
    /// Where it is kept. A note on another shelf is another note.
    #[attribute(optional, computed, default = "inbox", replaces, validate = shelf_name)]
    shelf: Value<String>,
    /// What it is called.
    #[attribute(required, validate = not_empty)]
    title: Value<String>,
    /// What it says.
    #[attribute(optional)]
    body: Value<String>,
    /// Anything else worth keeping, by name.
    #[attribute(optional)]
    labels: Value<BTreeMap<String, Value<String>>>,
    /// When to be reminded of it.
    #[attribute(optional)]
    reminder: Value<Reminder>,
    /// Files that belong to it, in order.
    #[attribute(optional)]
    attachments: Value<Vec<Attachment>>,
    /// Who else may read it.
    #[attribute(optional)]
    readers: Value<BTreeSet<Reader>>,
    /// Who knows it may read the note. Never stored by Terraform; change `passphrase_wo_version`
    /// to have it written again.
    #[attribute(optional, write_only, sensitive)]
    passphrase_wo: Value<String>,
    /// Any text: a new one writes `passphrase_wo` again.
    #[attribute(optional)]
    passphrase_wo_version: Value<String>,
    /// How often it has been written.
    #[attribute(computed)]
    revision: Value<u64>,
    #[attribute(timeouts(create, update))]
    timeouts: Timeouts,
}

/// When to be reminded.
#[derive(Schema)]
pub(crate) struct Reminder {
    /// The day, as in `2026-11-24`.
    #[attribute(required)]
    at: Value<String>,
    /// `once`, `daily` or `yearly`.
    #[attribute(optional, computed, default = "once", validate = repetition)]
    repeat: Value<String>,
}

/// A file.
#[derive(Schema)]
pub(crate) struct Attachment {
    /// Its name.
    #[attribute(required)]
    name: Value<String>,
    /// Its place among the attachments, from 1.
    #[attribute(computed)]
    number: Value<u64>,
}

/// Somebody who may read it.
#[derive(Schema, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Reader {
    /// An e-mail address.
    #[attribute(required)]
    email: Value<String>,
    /// `reader` or `editor`.
    #[attribute(optional, computed, default = "reader")]
    role: Value<String>,
}

/// What tells a note from all others.
#[derive(Schema)]
pub(crate) struct NoteIdentity {
    /// The id of the note.
    #[attribute(required_for_import)]
    pub(crate) id: String,
}

fn shelf_name(name: &str) -> Result<(), String> {
    let plain = name.chars().all(|c| c.is_ascii_lowercase() || c == '-');
    if plain && !name.is_empty() { Ok(()) } else { Err("use lower-case letters and dashes".into()) }
}

fn not_empty(text: &str) -> Result<(), String> {
    if text.trim().is_empty() { Err("it must not be empty".into()) } else { Ok(()) }
}

fn repetition(text: &str) -> Result<(), String> {
    match text {
        "once" | "daily" | "yearly" => Ok(()),
        _ => Err("use `once`, `daily` or `yearly`".into()),
    }
}

impl Resource for Note {
    type Api = Store;
    type Identity = NoteIdentity;

    const NAME: &'static str = "notebook_note";
    /// 1: `body` was called `text` before.
    const VERSION: i64 = 1;

    fn validate(config: &Self, diags: &mut Diagnostics) {
        if config.passphrase_wo.is_null() && config.passphrase_wo_version.is_known() {
            diags.push(
                Diagnostic::error("There is no passphrase to write")
                    .detail("`passphrase_wo_version` says when to write `passphrase_wo`, which is not set.")
                    .at("passphrase_wo_version"),
            );
        }
    }

    async fn plan(_cx: &Cx<Store>, plan: &mut Plan<Self>) -> Result<(), Diagnostics> {
        // The next revision is no secret: what can be known at plan time is better known.
        if plan.changes() {
            let written = plan.prior.as_ref().and_then(|prior| prior.revision.into_option());
            plan.planned.revision = Value::Known(written.unwrap_or(0) + 1);
        }
        Ok(())
    }

    async fn create(cx: &Cx<Store>, plan: Planned<Self>, saved: &mut Saved<Self>) -> Result<(), Diagnostics> {
        let store = cx.api()?;
        let stored = plan.to_stored(store.note_id(), plan.config().passphrase_wo.clone().into_option());
        store.note_put(&stored).map_err(failed("write the note"))?;
        saved.set(Self::from_stored(stored, plan.into_inner()));
        Ok(())
    }

    async fn read(cx: &Cx<Store>, state: Self) -> Result<Option<Self>, Diagnostics> {
        let id = state.id.as_deref().unwrap_or_default();
        let stored = cx.api()?.note_get(id).map_err(failed("read the note"))?;
        Ok(stored.map(|stored| Self::from_stored(stored, state)))
    }

    async fn update(
        cx: &Cx<Store>,
        prior: Self,
        plan: Planned<Self>,
        saved: &mut Saved<Self>,
    ) -> Result<(), Diagnostics> {
        let store = cx.api()?;
        let id = prior.id.into_option().unwrap_or_default();
        let passphrase = if plan.passphrase_wo_version == prior.passphrase_wo_version {
            store.note_get(&id).map_err(failed("read the note"))?.and_then(|stored| stored.passphrase)
        } else {
            plan.config().passphrase_wo.clone().into_option()
        };
        let stored = plan.to_stored(id, passphrase);
        store.note_put(&stored).map_err(failed("write the note"))?;
        saved.set(Self::from_stored(stored, plan.into_inner()));
        Ok(())
    }

    async fn delete(cx: &Cx<Store>, state: Self) -> Result<(), Diagnostics> {
        let id = state.id.as_deref().unwrap_or_default();
        Ok(cx.api()?.note_remove(id).map_err(failed("remove the note"))?)
    }

    async fn import(cx: &Cx<Store>, by: ImportBy<NoteIdentity>) -> Result<Vec<Imported>, Diagnostics> {
        let id = match by {
            ImportBy::Id(id) => id,
            ImportBy::Identity(identity) => identity.id,
        };
        let stored = cx.api()?.note_get(&id).map_err(failed("read the note"))?;
        let stored = stored.ok_or_else(|| Diagnostic::error(format!("There is no note `{id}`")))?;
        Ok(vec![Imported::new(Self::from_stored(stored, Self::default()))])
    }

    async fn upgrade(_from_version: i64, state: Dynamic) -> Result<Self, Diagnostics> {
        // Version 0 is the only other one there is.
        let text = |name: &str| match &state {
            Dynamic::Object(fields) => match fields.get(name) {
                Some(Dynamic::String(text)) => Value::Known(text.clone()),
                _ => Value::Null,
            },
            _ => Value::Null,
        };
        Ok(Self {
            id: text("id"),
            shelf: text("shelf"),
            title: text("title"),
            body: text("text"),
            revision: Value::Known(1),
            ..Self::default()
        })
    }

    async fn move_from(source: MoveSource) -> Result<Option<Self>, Diagnostics> {
        // `terraform_data` is where notes are kept before there is a notebook.
        let Dynamic::Object(fields) = &source.state else {
            return Ok(None);
        };
        match (&*source.type_name, fields.get("id")) {
            ("terraform_data", Some(Dynamic::String(id))) => {
                Ok(Some(Self { id: id.clone().into(), ..Self::default() }))
            }
            _ => Ok(None),
        }
    }

    fn identity(&self) -> Option<NoteIdentity> {
        self.id.as_known().map(|id| NoteIdentity { id: id.clone() })
    }
}

impl Note {
    /// What to store for this plan.
    fn to_stored(&self, id: String, passphrase: Option<String>) -> StoredNote {
        let text = |value: &Value<String>| value.clone().into_option();
        StoredNote {
            id,
            shelf: text(&self.shelf).unwrap_or_default(),
            title: text(&self.title).unwrap_or_default(),
            body: text(&self.body),
            labels: self.labels.as_known().map(|labels| {
                labels.iter().filter_map(|(name, label)| Some((name.clone(), text(label)?))).collect()
            }),
            reminder: self.reminder.as_known().map(|reminder| StoredReminder {
                at: text(&reminder.at).unwrap_or_default(),
                repeat: text(&reminder.repeat).unwrap_or_default(),
            }),
            attachments: self
                .attachments
                .as_known()
                .map(|attachments| attachments.iter().filter_map(|own| text(&own.name)).collect())
                .unwrap_or_default(),
            readers: self
                .readers
                .as_known()
                .map(|readers| {
                    readers.iter().filter_map(|own| Some((text(&own.email)?, text(&own.role)?))).collect()
                })
                .unwrap_or_default(),
            revision: self.revision.into_option().unwrap_or(1),
            passphrase,
        }
    }

    /// The state of what is stored. What the service does not have is taken from `before`: an empty
    /// list and none are the same to it, and the form that the user has chosen stays.
    pub(crate) fn from_stored(stored: StoredNote, before: Self) -> Self {
        let attachments: Vec<_> = stored
            .attachments
            .into_iter()
            .zip(1..)
            .map(|(name, number)| Attachment { name: name.into(), number: Value::Known(number) })
            .collect();
        let readers: BTreeSet<_> = stored
            .readers
            .into_iter()
            .map(|(email, role)| Reader { email: email.into(), role: role.into() })
            .collect();
        let labels = stored.labels.map(|labels| {
            labels.into_iter().map(|(name, label)| (name, Value::Known(label))).collect::<BTreeMap<_, _>>()
        });
        Self {
            id: stored.id.into(),
            shelf: stored.shelf.into(),
            title: stored.title.into(),
            body: stored.body.into(),
            labels: labels.into(),
            reminder: stored
                .reminder
                .map(|stored| Reminder { at: stored.at.into(), repeat: stored.repeat.into() })
                .into(),
            attachments: if attachments.is_empty() && before.attachments.is_null() {
                Value::Null
            } else {
                Value::Known(attachments)
            },
            readers: if readers.is_empty() && before.readers.is_null() {
                Value::Null
            } else {
                Value::Known(readers)
            },
            passphrase_wo: Value::Null,
            passphrase_wo_version: before.passphrase_wo_version,
            revision: Value::Known(stored.revision),
            timeouts: before.timeouts,
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_schemas_are_sound() {
        assert_eq!(crate::server().faults(), [""; 0]);
    }
}
