//! In what a realm differs from what it should be. Pure: works on what was read.

use std::collections::BTreeSet;

use time::OffsetDateTime;

use super::clients::{AUDIENCE_MAPPER, ClientRep, LEASE};
use super::representation::{MARK, NEVER, NOT_BEFORE_KEPT, REALM_MANAGEMENT, ROLES, Realm};
use super::state::{Role, State};
use super::{Drift, Wanted};

/// One difference, with what it takes to mend it. The ids are Keycloak's.
#[derive(Debug)]
pub(super) enum Difference {
    /// A setting of the realm.
    Realm(&'static str),
    /// A role is missing.
    Role(&'static str),
    /// A client is missing.
    Client(ClientRep),
    /// A client is set otherwise, or its mappers are others.
    ClientSettings { id: String, wanted: ClientRep, words: &'static str },
    /// A client lacks a scope.
    ScopeMissing { client: String, scope: String },
    /// A client has a scope, by default or where it is asked for, that it should not have.
    ScopeExtra { client: String, scope: String, optional: bool },
    /// A scope puts an audience into the tokens of every client that has it.
    ScopeAudience { scope: String, mapper: String },
    /// The tokens of a client do not tell of a role.
    RoleNotInScope { client: String, roles: Vec<Role> },
    /// They tell of roles of the realm that they should not tell of.
    RoleInScope { client: String, roles: Vec<Role> },
    /// They tell of roles of another client.
    ClientRoleInScope { client: String, of: String, roles: Vec<Role> },
    /// The workload's service account may administer the realm.
    WorkloadAdministers { user: String, of: String, roles: Vec<Role> },
    /// A lease is over, and its client still there.
    LeaseOver { client: String },
}

impl Difference {
    /// The difference, for people.
    pub(super) const fn words(&self) -> Drift {
        Drift(match self {
            Self::Realm(words) | Self::ClientSettings { words, .. } => words,
            Self::Role(_) => "a role is missing",
            Self::Client(_) => "a client is missing",
            Self::ScopeMissing { .. } => "a client lacks a scope",
            Self::ScopeExtra { .. } => "a client has a scope that it should not have",
            Self::ScopeAudience { .. } => "a scope widens the audience of tokens",
            Self::RoleNotInScope { .. } => "a client's tokens lack roles",
            Self::RoleInScope { .. } | Self::ClientRoleInScope { .. } => {
                "a client's tokens tell of roles that they should not tell of"
            }
            Self::WorkloadAdministers { .. } => "the workload may administer the realm",
            Self::LeaseOver { .. } => "leased credentials are past their end",
        })
    }
}

impl Realm {
    /// These settings, mended: what the platform does not answer for stays as it is, and so does another
    /// installation's mark. A suspended realm keeps from when its tokens counted, and gets it back.
    pub(super) fn mended(&self, wanted: &Wanted, mark: &str) -> Self {
        let fresh = Self::wanted(wanted, mark);
        let mut attributes = self.attributes.clone();
        let kept = attributes.remove(NOT_BEFORE_KEPT).and_then(|kept| kept.parse().ok()).unwrap_or(0);
        let not_before = if self.not_before == NEVER { kept } else { self.not_before };
        if wanted.suspended {
            attributes.insert(NOT_BEFORE_KEPT.to_owned(), not_before.to_string());
        }
        for (key, value) in fresh.attributes {
            if key != NOT_BEFORE_KEPT {
                attributes.entry(key).or_insert(value);
            }
        }
        Self {
            not_before: if wanted.suspended { NEVER } else { not_before },
            attributes,
            id: self.id.clone(),
            ..fresh
        }
    }
}

/// Everything in which the realm differs.
pub(super) fn differences(
    state: &State,
    wanted: &Wanted,
    mark: &str,
    now: OffsetDateTime,
) -> Vec<Difference> {
    let name = &wanted.names.keycloak_realm;
    let mut found = Vec::new();
    for role in ROLES {
        if !state.roles.iter().any(|it| it.name == role) {
            found.push(Difference::Role(role));
        }
    }
    scopes(state, &mut found);
    for client in ClientRep::all(name) {
        match state.client(&client.client_id) {
            Some(seen) => of_client(state, seen, client, &mut found),
            None => found.push(Difference::Client(client)),
        }
    }
    leases(state, name, now, &mut found);
    workload(state, &mut found);
    // The last, since a realm that is closed cannot be managed by its own client any more.
    realm(&state.realm, &state.realm.mended(wanted, mark), &mut found);
    found
}

fn realm(seen: &Realm, mended: &Realm, found: &mut Vec<Difference>) {
    let door = (seen.enabled, seen.not_before) != (mended.enabled, mended.not_before);
    let words = if mended.enabled {
        "the realm is closed though the tenant is not suspended"
    } else {
        "the realm is open though the tenant is suspended"
    };
    let parts = [
        (door, words),
        (!seen.attributes.contains_key(MARK), "the realm's mark is missing"),
        (seen.doors != mended.doors, "the realm's login settings differ"),
        (seen.brute_force != mended.brute_force, "the realm's brute-force protection differs"),
        (seen.lifetimes != mended.lifetimes, "the lifetimes of tokens and sessions differ"),
    ];
    found
        .extend(parts.into_iter().filter(|(differs, _)| *differs).map(|(_, words)| Difference::Realm(words)));
}

/// No scope names an audience; those that a realm is made with do not.
fn scopes(state: &State, found: &mut Vec<Difference>) {
    for scope in &state.scopes {
        for mapper in scope.protocol_mappers.iter().filter(|it| it.protocol_mapper == AUDIENCE_MAPPER) {
            if let Some(mapper) = mapper.id.clone() {
                found.push(Difference::ScopeAudience { scope: scope.id.clone(), mapper });
            }
        }
    }
}

fn of_client(state: &State, seen: &ClientRep, wanted: ClientRep, found: &mut Vec<Difference>) {
    let Some(id) = seen.id.clone() else { return };
    let scope_id = |name: &String| state.scopes.iter().find(|it| it.name == *name).map(|it| it.id.clone());
    for scope in wanted.default_client_scopes.difference(&seen.default_client_scopes).filter_map(scope_id) {
        found.push(Difference::ScopeMissing { client: id.clone(), scope });
    }
    for (have, want, optional) in [
        (&seen.default_client_scopes, &wanted.default_client_scopes, false),
        (&seen.optional_client_scopes, &wanted.optional_client_scopes, true),
    ] {
        for scope in have.difference(want).filter_map(scope_id) {
            found.push(Difference::ScopeExtra { client: id.clone(), scope, optional });
        }
    }
    if let Some(roles) = state.in_scope.get(&id) {
        let here: BTreeSet<&str> = roles.realm_mappings.iter().map(|role| role.name.as_str()).collect();
        let ours = |role: &Role| ROLES.contains(&role.name.as_str());
        let missing = state.roles.iter().filter(|role| ours(role) && !here.contains(role.name.as_str()));
        let missing: Vec<_> = missing.cloned().collect();
        let extra: Vec<_> = roles.realm_mappings.iter().filter(|role| !ours(role)).cloned().collect();
        if !missing.is_empty() {
            found.push(Difference::RoleNotInScope { client: id.clone(), roles: missing });
        }
        if !extra.is_empty() {
            found.push(Difference::RoleInScope { client: id.clone(), roles: extra });
        }
        for other in roles.client_mappings.values() {
            let (of, roles) = (other.id.clone(), other.mappings.clone());
            found.push(Difference::ClientRoleInScope { client: id.clone(), of, roles });
        }
    }
    let words = if !seen.is_set_as(&wanted) {
        "a client's settings differ"
    } else if !seen.maps_as(&wanted) {
        "a client's audience differs"
    } else {
        return;
    };
    found.push(Difference::ClientSettings { id, wanted, words });
}

fn leases(state: &State, realm: &str, now: OffsetDateTime, found: &mut Vec<Difference>) {
    for client in state.clients.iter().filter(|client| client.client_id.starts_with(LEASE)) {
        let (Some(id), ends) = (client.id.clone(), client.lease_ends().unwrap_or(0)) else { continue };
        let wanted = ClientRep::lease(realm, client.client_id.clone(), ends);
        if ends <= now.unix_timestamp() {
            found.push(Difference::LeaseOver { client: id });
        } else {
            of_client(state, client, wanted, found);
        }
    }
}

fn workload(state: &State, found: &mut Vec<Difference>) {
    let Some(account) = &state.workload else { return };
    if let Some(roles) = account.roles.client_mappings.get(REALM_MANAGEMENT) {
        found.push(Difference::WorkloadAdministers {
            user: account.user.clone(),
            of: roles.id.clone(),
            roles: roles.mappings.clone(),
        });
    }
}
