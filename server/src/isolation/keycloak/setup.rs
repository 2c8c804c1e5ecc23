//! What an administrator does once in Keycloak before the server can work there: the platform's own
//! client, which may create realms and nothing else. `integraci-server setup` calls it.

use integraci_api::SecretText;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::client::{By, Call};
use super::{Client, ErrorClass, KeycloakConfig, SystemError, error};
use crate::config::CellConfig;
use crate::setup::SetupError;

/// The one role that the platform's client holds.
const CREATE_REALM: &str = "create-realm";

#[derive(Deserialize)]
struct Id {
    id: String,
}

#[derive(Deserialize)]
struct Secret {
    value: SecretText,
}

#[derive(Serialize, Deserialize)]
struct Role {
    id: String,
    name: String,
}

/// Makes the platform's client, or brings one that is there to what it should be; returns its secret.
/// A secret that it has stays: another installation's server may be using it. Safe to repeat.
///
/// # Errors
/// Keycloak refused, or did not answer.
pub async fn prepare(cell: &CellConfig<KeycloakConfig>) -> Result<SecretText, SetupError> {
    let mut config = cell.system.clone();
    if let Some(admin) = &cell.admin {
        config.client_secret = admin.secret.clone();
        if let Some(client_id) = &admin.client_id {
            config.client_id.clone_from(client_id);
        }
    }
    let admin = Client::new(&config)?;
    let client_id = &cell.system.client_id;
    let id = match client_find(&admin, client_id).await? {
        Some(Id { id }) => id,
        None => client_create(&admin, client_id).await?,
    };
    let path = format!("/admin/realms/master/clients/{id}");
    admin.done(Call::put("client_update", &path, &By::Platform).json(&settings(client_id))).await?;
    roles_settle(&admin, &id).await?;
    let path = format!("/admin/realms/master/clients/{id}/client-secret");
    let secret: Secret = admin.parsed(Call::get("secret_read", &path, &By::Platform)).await?;
    Ok(secret.value)
}

async fn client_find(admin: &Client, client_id: &str) -> Result<Option<Id>, SystemError> {
    let name: String = url::form_urlencoded::byte_serialize(client_id.as_bytes()).collect();
    let path = format!("/admin/realms/master/clients?clientId={name}");
    let found: Vec<Id> = admin.parsed(Call::get("client_find", &path, &By::Platform)).await?;
    Ok(found.into_iter().next())
}

async fn client_create(admin: &Client, client_id: &str) -> Result<String, SystemError> {
    let body = settings(client_id);
    let call = Call::post("client_create", "/admin/realms/master/clients", &By::Platform).json(&body);
    match admin.done(call).await {
        Ok(_) => {}
        // Another installation's setup was first.
        Err(there) if there.status == Some(409) => {}
        Err(failed) => return Err(failed),
    }
    let gone = || error("client_create", ErrorClass::Broken, "the client that was just made is missing");
    client_find(admin, client_id).await?.map(|found| found.id).ok_or_else(gone)
}

/// A service account that logs in with a secret made by Keycloak. With full scope, since its rights in
/// the realms that it makes come with them; lightweight, so that its tokens do not list them.
fn settings(client_id: &str) -> serde_json::Value {
    json!({
        "clientId": client_id,
        "description": "IntegraCI: makes tenants' realms",
        "enabled": true,
        "publicClient": false,
        "serviceAccountsEnabled": true,
        "standardFlowEnabled": false,
        "implicitFlowEnabled": false,
        "directAccessGrantsEnabled": false,
        "fullScopeAllowed": true,
        "redirectUris": [],
        "webOrigins": [],
        "attributes": { "client.use.lightweight.access.token.enabled": "true" },
    })
}

/// Gives its service account the one role, and takes every other role of the realm from it. Its rights
/// in the realms that it made are roles of their clients, and stay.
async fn roles_settle(admin: &Client, id: &str) -> Result<(), SystemError> {
    let by = &By::Platform;
    let path = format!("/admin/realms/master/clients/{id}/service-account-user");
    let user: Id = admin.parsed(Call::get("service_account_read", &path, by)).await?;
    let path = format!("/admin/realms/master/roles/{CREATE_REALM}");
    let wanted: Role = admin.parsed(Call::get("role_read", &path, by)).await?;
    let path = format!("/admin/realms/master/users/{}/role-mappings/realm", user.id);
    let held: Vec<Role> = admin.parsed(Call::get("roles_read", &path, by)).await?;
    admin.done(Call::post("role_give", &path, by).json(&[&wanted])).await?;
    let others: Vec<_> = held.into_iter().filter(|role| role.name != CREATE_REALM).collect();
    if !others.is_empty() {
        admin.done(Call::delete("roles_take", &path, by).json(&others)).await?;
    }
    Ok(())
}
