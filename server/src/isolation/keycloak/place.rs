//! A tenant's realm: made, brought to what it should be, found, removed.

use futures_util::{TryFutureExt as _, try_join};
use hmac::{Hmac, KeyInit as _, Mac as _};
use integraci_api::tenants::TenantNames;
use integraci_api::{SecretText, TenantId};
use serde_json::json;
use sha2::Sha256;

use super::client::{By, Call, Login};
use super::clients::{ClientRep, MANAGEMENT};
use super::drift::{Difference, differences};
use super::mend::Mender;
use super::representation::{MARK, Realm, TENANT, WholeRealm};
use super::state::State;
use super::{Drift, ErrorClass, Facts, Keycloak, Remnant, System, SystemError, Wanted, error};

/// What was found under a realm's name.
pub(super) enum Found {
    /// Nothing.
    Nothing,
    /// A realm of ours, and who may manage it.
    Ours(By),
    /// A realm of somebody else.
    Theirs,
}

impl Keycloak {
    pub(super) async fn place_ensure(&self, wanted: &Wanted) -> Result<Facts, SystemError> {
        let mut is_new = false;
        let fresh = || {
            is_new = true;
            self.fresh_secret()
        };
        let (key, mark, base) = try_join!(
            self.keys.ensure(System::Keycloak, &wanted.names, fresh),
            self.mark(&wanted.names),
            self.client.issuer_base().map_ok(str::to_owned),
        )?;
        // With a key that is new there is no realm of ours: asking first would cost every tenant that.
        if !(is_new && self.realm_create(wanted, &key, &mark).await?) {
            self.realm_converge(wanted, &key, &mark).await?;
        }
        Ok(Facts::from([("issuer_url", format!("{base}/realms/{}", wanted.names.keycloak_realm))]))
    }

    /// Makes the whole realm in one request; tells whether it was not there.
    async fn realm_create(&self, wanted: &Wanted, key: &SecretText, mark: &str) -> Result<bool, SystemError> {
        let settings = Realm::wanted(wanted, mark);
        let clients = ClientRep::all(&settings.realm);
        let body = WholeRealm::new(&settings, &clients, key);
        let call = Call::post("realm_create", "/admin/realms", &By::Platform).json(&body);
        self.client.make(call).await
    }

    async fn realm_converge(&self, wanted: &Wanted, key: &SecretText, mark: &str) -> Result<(), SystemError> {
        // More than once, since somebody may make or remove the realm between a look and what follows
        // from it, and since a role must be there before it can be put into a scope.
        for _ in 0..3 {
            let by = match self.find(&wanted.names, Some(wanted.tenant), Some(key), mark).await? {
                Found::Ours(by) => by,
                Found::Theirs => return Err(taken()),
                Found::Nothing if self.realm_create(wanted, key, mark).await? => return Ok(()),
                Found::Nothing => continue,
            };
            let realm = &wanted.names.keycloak_realm;
            let Some(state) = State::read(&self.client, &by, realm).await? else { continue };
            let found = differences(&state, wanted, mark, self.source.now());
            let mender = Mender { client: &self.client, by: &by, realm, key, mark };
            mender.mend(&state, &found, &state.realm.mended(wanted, mark)).await?;
            if !found.iter().any(|it| matches!(it, Difference::Role(_))) {
                return Ok(());
            }
        }
        Err(error(
            "realm_create",
            ErrorClass::Broken,
            "the realm changes under our hands; see who else is at it",
        ))
    }

    pub(super) async fn place_remove(&self, tenant: &TenantNames) -> Result<(), SystemError> {
        let (key, mark) = try_join!(self.keys.get(System::Keycloak, tenant), self.mark(tenant))?;
        match self.find(tenant, None, key.as_ref(), &mark).await? {
            Found::Ours(by) => self.realm_delete(tenant, &by).await?,
            // With a key there may be a request to make the realm that is still under way, though
            // nobody waits for its answer. Keycloak makes one realm of a name: once this one is
            // made, or refused because that one was first, nothing more comes.
            Found::Nothing if key.is_some() => {
                let body = json!({
                    "realm": tenant.keycloak_realm,
                    "enabled": false,
                    "attributes": { MARK: mark },
                });
                let call = Call::post("realm_reserve", "/admin/realms", &By::Platform).json(&body);
                self.client.make(call).await?;
                if let Found::Ours(by) = self.find(tenant, None, key.as_ref(), &mark).await? {
                    self.realm_delete(tenant, &by).await?;
                }
            }
            Found::Nothing | Found::Theirs => {}
        }
        self.keys.remove(System::Keycloak, tenant).await
    }

    async fn realm_delete(&self, tenant: &TenantNames, by: &By) -> Result<(), SystemError> {
        let path = format!("/admin/realms/{}", tenant.keycloak_realm);
        match self.client.remove(Call::delete("realm_delete", &path, by)).await {
            // Whoever asks has just shown that it may. While another request, which nobody waits for any
            // more, removes the realm, its tokens and roles are gone before it is.
            Err(refused) if matches!(refused.status, Some(401 | 403)) => Err(SystemError {
                class: ErrorClass::Busy { retry_after: None },
                reason: "the realm is being removed by another request, or its client may not do so",
                ..refused
            }),
            other => other,
        }
    }

    pub(super) async fn place_remains(&self, tenant: &TenantNames) -> Result<Vec<Remnant>, SystemError> {
        let (key, mark) = try_join!(self.keys.get(System::Keycloak, tenant), self.mark(tenant))?;
        let name = &tenant.keycloak_realm;
        let found = self.find(tenant, None, key.as_ref(), &mark).await?;
        let realm = matches!(found, Found::Ours(_)).then(|| Remnant { class: "realm", name: name.clone() });
        let key = key.map(|_| Remnant { class: "key of the realm", name: name.clone() });
        Ok(realm.into_iter().chain(key).collect())
    }

    pub(super) async fn place_drift(&self, wanted: &Wanted) -> Result<Vec<Drift>, SystemError> {
        let names = &wanted.names;
        let (key, mark) = try_join!(self.keys.get(System::Keycloak, names), self.mark(names))?;
        let Some(key) = key else { return Ok(vec![Drift("the key to the realm is missing")]) };
        let by = match self.find(names, Some(wanted.tenant), Some(&key), &mark).await? {
            Found::Nothing => return Ok(vec![Drift("the realm is missing")]),
            Found::Theirs => return Ok(vec![Drift("the realm is not one that IntegraCI made")]),
            Found::Ours(by) => by,
        };
        let Some(state) = State::read(&self.client, &by, &names.keycloak_realm).await? else {
            return Ok(vec![Drift("the realm is missing")]);
        };
        let locked_out = matches!(by, By::Platform) && state.realm.enabled && state.realm.has(MARK, &mark);
        let locked_out = locked_out.then_some(Drift("the platform's client cannot log in"));
        let found = differences(&state, wanted, &mark, self.source.now());
        Ok(locked_out.into_iter().chain(found.iter().map(Difference::words)).collect())
    }

    /// Looks what is under the realm's name, and who may manage it: its own client if that can log in,
    /// else the platform's.
    pub(super) async fn find(
        &self,
        tenant: &TenantNames,
        id: Option<TenantId>,
        key: Option<&SecretText>,
        mark: &str,
    ) -> Result<Found, SystemError> {
        let realm = &tenant.keycloak_realm;
        if let Some(key) = key {
            match self.client.login("realm_login", realm, MANAGEMENT, key, &[]).await? {
                Login::Token(given) => return Ok(Found::Ours(By::Bearer(given.token))),
                Login::NoRealm | Login::Closed | Login::Rejected => {}
            }
        }
        let mut is_second_look = false;
        loop {
            match self.realm_read(realm).await {
                Ok(None) => return Ok(Found::Nothing),
                Ok(Some(found)) if found.has(MARK, mark) => return Ok(Found::Ours(By::Platform)),
                Ok(Some(found)) if id.is_some_and(|id| found.has(TENANT, &id.to_string())) => {
                    return Ok(Found::Ours(By::Platform));
                }
                Ok(Some(Realm { id: Some(_), .. })) => return Ok(Found::Theirs),
                // Shown little of it: by a token that is older than the realm, or because it is not ours.
                Ok(Some(_)) if is_second_look => return Ok(Found::Theirs),
                Ok(Some(_)) => {
                    is_second_look = true;
                    self.client.platform_token_forget().await;
                }
                Err(failed) => return Err(failed),
            }
        }
    }

    async fn realm_read(&self, realm: &str) -> Result<Option<Realm>, SystemError> {
        let path = format!("/admin/realms/{realm}");
        self.client.read(Call::get("realm_read", &path, &By::Platform)).await
    }

    /// What proves that a realm of this name is ours.
    pub(super) async fn mark(&self, tenant: &TenantNames) -> Result<String, SystemError> {
        // Kept where tenants' keys are, under a name that no tenant has: theirs begin with `tenant-`.
        let platform = || {
            let name = || "platform".to_owned();
            TenantNames {
                openbao_namespace: name(),
                keycloak_realm: name(),
                nats_account: name(),
                nats_subject_prefix: name(),
                kubernetes_namespace: name(),
            }
        };
        let kept = || async { self.keys.ensure(System::Keycloak, &platform(), || self.fresh_secret()).await };
        let key = self.marking_key.get_or_try_init(kept).await?;
        #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(key.expose().as_bytes()).expect("any key length");
        mac.update(b"integraci realm ");
        mac.update(tenant.keycloak_realm.as_bytes());
        Ok(hex::encode(mac.finalize().into_bytes()))
    }

    /// Who may manage a tenant's realm, where there is one of ours.
    pub(super) async fn manager(&self, operation: &'static str, wanted: &Wanted) -> Result<By, SystemError> {
        let names = &wanted.names;
        let (key, mark) = try_join!(self.keys.get(System::Keycloak, names), self.mark(names))?;
        match self.find(names, Some(wanted.tenant), key.as_ref(), &mark).await? {
            Found::Ours(by) => Ok(by),
            Found::Nothing => Err(error(operation, ErrorClass::Gone, "the tenant has no realm")),
            Found::Theirs => Err(taken()),
        }
    }
}

const fn taken() -> SystemError {
    error(
        "realm_create",
        ErrorClass::Refused,
        "a realm of this name exists and is not managed by IntegraCI; it is left alone",
    )
}
