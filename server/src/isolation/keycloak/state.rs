//! A tenant's realm as it is, read by whoever may manage it.

use std::collections::BTreeMap;

use futures_util::try_join;
use serde::{Deserialize, Serialize};

use super::SystemError;
use super::client::{By, Call, Client};
use super::clients::{ClientRep, Mapper, WORKLOAD, api_client};
use super::representation::Realm;

/// Everything of a realm that the platform answers for.
pub(super) struct State {
    pub(super) realm: Realm,
    pub(super) roles: Vec<Role>,
    pub(super) clients: Vec<ClientRep>,
    pub(super) scopes: Vec<Scope>,
    /// The roles that tokens of the client may tell of, by the client's id in Keycloak: of those two
    /// that the tenant uses and that are there.
    pub(super) in_scope: BTreeMap<String, RoleSet>,
    /// The roles of the workload's service account.
    pub(super) workload: Option<ServiceAccount>,
}

/// A role, as it is named when it is given and taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Role {
    pub(super) id: String,
    pub(super) name: String,
}

/// A set of roles, of the realm itself and of clients by their names.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct RoleSet {
    pub(super) realm_mappings: Vec<Role>,
    pub(super) client_mappings: BTreeMap<String, ClientRoles>,
}

/// Those roles of a set that are one client's.
#[derive(Debug, Deserialize)]
pub(super) struct ClientRoles {
    /// The client's id in Keycloak.
    pub(super) id: String,
    pub(super) mappings: Vec<Role>,
}

/// A scope that clients can have.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Scope {
    pub(super) id: String,
    pub(super) name: String,
    #[serde(default)]
    pub(super) protocol_mappers: Vec<Mapper>,
}

/// A service account and its roles.
pub(super) struct ServiceAccount {
    pub(super) user: String,
    pub(super) roles: RoleSet,
}

#[derive(Deserialize)]
struct User {
    id: String,
}

impl State {
    /// Reads it; `None` if there is no such realm.
    pub(super) async fn read(client: &Client, by: &By, realm: &str) -> Result<Option<Self>, SystemError> {
        let root = format!("/admin/realms/{realm}");
        let path = |below: &str| format!("{root}/{below}");
        let (roles, clients, scopes) = (path("roles"), path("clients"), path("client-scopes"));
        let (found, roles, clients, scopes) = try_join!(
            client.read::<Realm>(Call::get("realm_read", &root, by)),
            client.read::<Vec<Role>>(Call::get("roles_read", &roles, by)),
            client.read::<Vec<ClientRep>>(Call::get("clients_read", &clients, by)),
            client.read::<Vec<Scope>>(Call::get("scopes_read", &scopes, by)),
        )?;
        let (Some(found), Some(roles), Some(clients), Some(scopes)) = (found, roles, clients, scopes) else {
            return Ok(None);
        };
        let id_of = |name: &str| clients.iter().find(|it| it.client_id == name).and_then(|it| it.id.clone());
        let (api, workload) = (id_of(&api_client(realm)), id_of(WORKLOAD));
        let (api, in_workload, workload) = try_join!(
            roles_in_scope(client, by, &root, api.as_deref()),
            roles_in_scope(client, by, &root, workload.as_deref()),
            service_account(client, by, &root, workload.as_deref()),
        )?;
        let in_scope = api.into_iter().chain(in_workload).collect();
        Ok(Some(Self { realm: found, roles, clients, scopes, in_scope, workload }))
    }

    /// A client by its name.
    pub(super) fn client(&self, name: &str) -> Option<&ClientRep> {
        self.clients.iter().find(|client| client.client_id == name)
    }
}

async fn roles_in_scope(
    client: &Client,
    by: &By,
    root: &str,
    id: Option<&str>,
) -> Result<Option<(String, RoleSet)>, SystemError> {
    let Some(id) = id else { return Ok(None) };
    let path = format!("{root}/clients/{id}/scope-mappings");
    let roles: Option<RoleSet> = client.read(Call::get("scope_read", &path, by)).await?;
    Ok(roles.map(|roles| (id.to_owned(), roles)))
}

async fn service_account(
    client: &Client,
    by: &By,
    root: &str,
    id: Option<&str>,
) -> Result<Option<ServiceAccount>, SystemError> {
    let Some(id) = id else { return Ok(None) };
    let path = format!("{root}/clients/{id}/service-account-user");
    let user = match client.read::<User>(Call::get("service_account_read", &path, by)).await {
        Ok(user) => user,
        // Keycloak's word for a client that was changed to have none.
        Err(none) if none.status == Some(400) => None,
        Err(failed) => return Err(failed),
    };
    let Some(User { id: user }) = user else { return Ok(None) };
    let path = format!("{root}/users/{user}/role-mappings");
    let roles: Option<RoleSet> = client.read(Call::get("service_account_roles_read", &path, by)).await?;
    Ok(roles.map(|roles| ServiceAccount { user, roles }))
}
