//! The service: notes in a directory, one JSON file each.

use std::fs;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A note as the service has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StoredNote {
    pub(crate) id: String,
    pub(crate) shelf: String,
    pub(crate) title: String,
    pub(crate) body: Option<String>,
    pub(crate) labels: Option<Vec<(String, String)>>,
    pub(crate) reminder: Option<StoredReminder>,
    pub(crate) attachments: Vec<String>,
    pub(crate) readers: Vec<(String, String)>,
    pub(crate) revision: u64,
    /// Who knows it may read the note. A real service would keep a hash.
    pub(crate) passphrase: Option<String>,
}

/// When to be reminded of a note.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StoredReminder {
    pub(crate) at: String,
    pub(crate) repeat: String,
}

/// The directory.
pub(crate) struct Store {
    directory: PathBuf,
}

impl Store {
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    fn path(&self, id: &str) -> PathBuf {
        self.directory.join(format!("{id}.json"))
    }

    /// A new id. Notes are seldom written within one nanosecond, and if so, it is not taken.
    pub(crate) fn note_id(&self) -> String {
        let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let mut nanos = since.as_nanos();
        while self.path(&format!("note-{nanos:x}")).exists() {
            nanos += 1;
        }
        format!("note-{nanos:x}")
    }

    /// Writes a note, whether or not it exists.
    pub(crate) fn note_put(&self, note: &StoredNote) -> io::Result<()> {
        fs::create_dir_all(&self.directory)?;
        fs::write(self.path(&note.id), serde_json::to_vec_pretty(note)?)
    }

    /// The note, if it exists.
    pub(crate) fn note_get(&self, id: &str) -> io::Result<Option<StoredNote>> {
        match fs::read(self.path(id)) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes the note; that it is gone already is success.
    pub(crate) fn note_remove(&self, id: &str) -> io::Result<()> {
        match fs::remove_file(self.path(id)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }

    /// All notes, by id.
    pub(crate) fn notes(&self) -> io::Result<Vec<StoredNote>> {
        let mut notes = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                notes.push(serde_json::from_slice::<StoredNote>(&fs::read(path)?)?);
            }
        }
        notes.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(notes)
    }

    /// Takes the lock of that name; `false` if somebody has it.
    pub(crate) fn lock_take(&self, name: &str) -> io::Result<bool> {
        fs::create_dir_all(&self.directory)?;
        match fs::File::create_new(self.directory.join(format!("{name}.lock"))) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Gives the lock of that name back.
    pub(crate) fn lock_release(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.directory.join(format!("{name}.lock"))) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }

    /// Copies a note into a directory beside the notes.
    pub(crate) fn note_archive(&self, note: &StoredNote, archive: &str) -> io::Result<()> {
        let archive = self.directory.join(archive);
        fs::create_dir_all(&archive)?;
        fs::copy(self.path(&note.id), archive.join(format!("{}.json", note.id))).map(drop)
    }
}

/// What a user is told when the service fails. The path is theirs to see; a real provider would
/// say what to do about each kind of failure.
pub(crate) fn failed(what: &str) -> impl FnOnce(io::Error) -> tfplugin::Diagnostic {
    move |error| tfplugin::Diagnostic::error(format!("Could not {what}")).detail(format!("{error}."))
}
