//! The instances of each system: its cells. A tenant lives in one cell of each, which its record
//! names, so that a second Keycloak or another cluster is added by configuration.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Isolation, System};

/// The name of the cell that a system's section describes by itself.
pub const MAIN_CELL: &str = "main";

/// One instance of a system.
#[derive(Clone)]
pub struct Cell {
    /// Its name in the configuration and in the tenants' records. Never renamed.
    pub name: String,
    /// The most tenants that may live in it; no limit when absent.
    pub capacity: Option<i64>,
    /// What is done there.
    pub system: Arc<dyn Isolation>,
}

/// Every cell of every system that is on.
#[derive(Clone, Default)]
pub struct Cells(BTreeMap<System, Vec<Cell>>);

impl Cells {
    /// Takes in a cell.
    pub fn add(&mut self, cell: Cell) {
        self.0.entry(cell.system.system()).or_default().push(cell);
    }

    /// The systems that are on, Postgres not among them: it needs no making.
    pub fn on(&self) -> impl Iterator<Item = System> + '_ {
        self.0.keys().copied()
    }

    /// The cells of a system.
    #[must_use]
    pub fn of(&self, system: System) -> &[Cell] {
        self.0.get(&system).map_or(&[], Vec::as_slice)
    }

    /// The cell of a name.
    #[must_use]
    pub fn get(&self, system: System, name: &str) -> Option<&Arc<dyn Isolation>> {
        self.of(system).iter().find(|cell| cell.name == name).map(|cell| &cell.system)
    }

    /// Every cell.
    pub fn all(&self) -> impl Iterator<Item = &Cell> {
        self.0.values().flatten()
    }
}
