//! Brings a realm to what it should be, one difference after the other.

use integraci_api::SecretText;
use serde_json::json;

use super::client::{By, Call, Client};
use super::clients::{ClientRep, MANAGEMENT};
use super::drift::Difference;
use super::representation::{MARK, Management, ROLES, Realm};
use super::state::{Role, State};
use super::{ErrorClass, SystemError, error};

/// What mending works with.
pub(super) struct Mender<'a> {
    pub(super) client: &'a Client,
    pub(super) by: &'a By,
    pub(super) realm: &'a str,
    pub(super) key: &'a SecretText,
    pub(super) mark: &'a str,
}

impl Mender<'_> {
    fn path(&self, below: &str) -> String {
        format!("/admin/realms/{}/{below}", self.realm)
    }

    /// Mends everything; the realm's own settings come last, and all at once.
    pub(super) async fn mend(
        &self,
        state: &State,
        differences: &[Difference],
        settings: &Realm,
    ) -> Result<(), SystemError> {
        for difference in differences {
            self.mend_one(difference).await?;
        }
        // An open realm is managed by its own client, if that can log in. One that another installation
        // made is managed by that one's.
        let is_anothers = state.realm.attributes.contains_key(MARK) && !state.realm.has(MARK, self.mark);
        if matches!(self.by, By::Platform) && state.realm.enabled && !is_anothers {
            self.management_restore().await?;
        }
        if differences.iter().any(|it| matches!(it, Difference::Realm(_))) {
            let path = format!("/admin/realms/{}", self.realm);
            self.client.done(Call::put("realm_update", &path, self.by).json(settings)).await?;
        }
        Ok(())
    }

    async fn mend_one(&self, difference: &Difference) -> Result<(), SystemError> {
        let by = self.by;
        match difference {
            Difference::Realm(_) => Ok(()),
            Difference::Role(name) => {
                let path = self.path("roles");
                self.client
                    .make(Call::post("role_create", &path, by).json(&json!({ "name": name })))
                    .await
                    .map(drop)
            }
            Difference::Client(wanted) => self.client_create(wanted).await,
            Difference::ClientSettings { id, wanted, .. } => self.client_update(id, wanted).await,
            Difference::ScopeMissing { client, scope } => {
                let path = self.path(&format!("clients/{client}/default-client-scopes/{scope}"));
                self.client.done(Call::put("scope_add", &path, by)).await.map(drop)
            }
            Difference::ScopeExtra { client, scope, optional } => {
                let kind = if *optional { "optional" } else { "default" };
                let path = self.path(&format!("clients/{client}/{kind}-client-scopes/{scope}"));
                self.client.remove(Call::delete("scope_remove", &path, by)).await
            }
            Difference::ScopeAudience { scope, mapper } => {
                let path = self.path(&format!("client-scopes/{scope}/protocol-mappers/models/{mapper}"));
                self.client.remove(Call::delete("mapper_delete", &path, by)).await
            }
            Difference::RoleNotInScope { client, roles } => {
                let path = self.path(&format!("clients/{client}/scope-mappings/realm"));
                self.client.done(Call::post("scope_widen", &path, by).json(roles)).await.map(drop)
            }
            Difference::RoleInScope { client, roles } => {
                let path = self.path(&format!("clients/{client}/scope-mappings/realm"));
                self.client.remove(Call::delete("scope_narrow", &path, by).json(roles)).await
            }
            Difference::ClientRoleInScope { client, of, roles } => {
                let path = self.path(&format!("clients/{client}/scope-mappings/clients/{of}"));
                self.client.remove(Call::delete("scope_narrow", &path, by).json(roles)).await
            }
            Difference::WorkloadAdministers { user, of, roles } => {
                let path = self.path(&format!("users/{user}/role-mappings/clients/{of}"));
                self.client.remove(Call::delete("roles_take", &path, by).json(roles)).await
            }
            Difference::LeaseOver { client } => {
                let path = self.path(&format!("clients/{client}"));
                self.client.remove(Call::delete("lease_delete", &path, by)).await
            }
        }
    }

    async fn client_update(&self, id: &str, wanted: &ClientRep) -> Result<(), SystemError> {
        let path = self.path(&format!("clients/{id}"));
        self.client.done(Call::put("client_update", &path, self.by).json(wanted)).await.map(drop)
    }

    async fn client_create(&self, wanted: &ClientRep) -> Result<(), SystemError> {
        if wanted.client_id == MANAGEMENT {
            return self.management_restore().await;
        }
        let path = self.path("clients");
        self.client.make(Call::post("client_create", &path, self.by).json(wanted)).await?;
        let id = self.client_id(&wanted.client_id).await?;
        let path = self.path("roles");
        let mut roles: Vec<Role> = self.client.parsed(Call::get("roles_read", &path, self.by)).await?;
        roles.retain(|role| ROLES.contains(&role.name.as_str()));
        let path = self.path(&format!("clients/{id}/scope-mappings/realm"));
        self.client.done(Call::post("scope_widen", &path, self.by).json(&roles)).await.map(drop)
    }

    /// Puts the management client in place anew, with its secret and its rights. By an import, since
    /// Keycloak lets nobody give the role `realm-admin` who does not hold it.
    async fn management_restore(&self) -> Result<(), SystemError> {
        let client = ClientRep::management(self.realm);
        let path = self.path("partialImport");
        let body = Management::new(&client, self.key);
        self.client.done(Call::post("management_restore", &path, self.by).json(&body)).await.map(drop)
    }

    /// The id in Keycloak of the client of a name.
    async fn client_id(&self, name: &str) -> Result<String, SystemError> {
        let path = self.path(&format!("clients?clientId={name}"));
        let found: Vec<Id> = self.client.parsed(Call::get("client_find", &path, self.by)).await?;
        let gone = || error("client_find", ErrorClass::Broken, "a client that was just there is missing");
        found.into_iter().next().map(|it| it.id).ok_or_else(gone)
    }
}

#[derive(serde::Deserialize)]
struct Id {
    id: String,
}
