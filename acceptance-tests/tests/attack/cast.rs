//! Credentials for the systems, got as a tenant gets them: from the API.

use std::collections::BTreeMap;

use acceptance_tests::Api;
use acceptance_tests::nats::Login;
use acceptance_tests::runtime::block_on;
use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::json;

use crate::api::Credential;
use crate::http::Http;
use crate::keycloak;
use crate::target::Target;

/// A credential for a tenant's place in one system.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Issued {
    credential: Record,
    secrets: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Deserialize)]
struct Record {
    id: String,
    fields: BTreeMap<String, String>,
}

/// One system's credentials: of the attacker, live and revoked; of a suspended tenant; of the victim.
#[derive(Debug, Clone)]
pub(crate) struct Logins {
    pub(crate) live: Issued,
    pub(crate) revoked: Issued,
    pub(crate) suspended: Issued,
    pub(crate) owner: Issued,
}

/// The credentials for every system.
pub(crate) struct Systems {
    pub(crate) openbao: Logins,
    pub(crate) keycloak: Logins,
    pub(crate) nats: Logins,
    pub(crate) kubernetes: Logins,
}

impl Systems {
    /// Asks for all of them. The suspended tenant is suspended after that: there are none for it then.
    pub(crate) fn new(
        api: &Api,
        attacker: &mut Target,
        suspended: &Target,
        victim: &mut Target,
    ) -> Result<Self> {
        let issue = |of: &Target, system: &str| -> Result<Issued> {
            let issued = Issued::new(api, of, system)?;
            if system == "keycloak" { issued.with_token() } else { Ok(issued) }
        };
        let mut logins = |system: &str| -> Result<Logins> {
            let revoked = issue(attacker, system)?;
            let path = format!("/v1/tenants/{}/credentials/{system}/{}", attacker.tenant(), revoked.id());
            api.delete(&path)?.expect(204)?;
            let (live, owner) = (issue(attacker, system)?, issue(victim, system)?);
            attacker.lend(system, live.id());
            victim.lend(system, owner.id());
            Ok(Logins { live, revoked, suspended: issue(suspended, system)?, owner })
        };
        let systems = Self {
            openbao: logins("openbao")?,
            keycloak: logins("keycloak")?,
            nats: logins("nats")?,
            kubernetes: logins("kubernetes")?,
        };
        let path = format!("/v1/tenants/{}", suspended.tenant());
        let tenant = api.patch(&path, &json!({ "suspended": true }))?.expect(200)?.body;
        api.operation_settled(tenant["operation_id"].as_str().context("its places are being closed")?)?;
        Ok(systems)
    }
}

impl Systems {
    /// The attacker's own tokens of other systems, shown to the API.
    pub(crate) fn bearers(&self) -> Result<Vec<Credential>> {
        let bearer =
            |name, value: &str| Credential { name, value: Some(value.to_owned()), is_accepted: false };
        Ok(vec![
            bearer("a token of its realm", self.keycloak.live.secret("access_token")?),
            bearer("a token of its OpenBao", self.openbao.live.secret("token")?),
            bearer("a token of its Kubernetes", self.kubernetes.live.secret("token")?),
            bearer("the claims of its NATS user", self.nats.live.secret("jwt")?),
        ])
    }
}

impl Issued {
    /// Asks for one.
    pub(crate) fn new(api: &Api, of: &Target, system: &str) -> Result<Self> {
        let path = format!("/v1/tenants/{}/credentials/{system}", of.tenant());
        let made = api.post(&path, &json!({ "ttl_s": 600 }))?.expect(201)?;
        Ok(serde_json::from_value(made.body)?)
    }

    /// With a token of its realm, which outlives by its own word what it was got with.
    fn with_token(mut self) -> Result<Self> {
        let url = self.field("token_url")?.to_owned();
        let (base, _) = url.split_once("/realms/").context("a realm's address")?;
        let made = block_on(async {
            let (id, secret) = (self.field("client_id")?, self.secret("client_secret")?);
            keycloak::token(&Http::new(base, None)?, self.place()?, id, secret).await
        })?;
        let token = made.expect("a client of the realm logs in")?.body["access_token"].clone();
        self.secrets.insert("access_token".to_owned(), token.as_str().context("a token")?.to_owned());
        Ok(self)
    }

    /// The realm.
    pub(crate) fn place(&self) -> Result<&str> {
        self.field("issuer_url")?.rsplit('/').next().context("a realm's address")
    }

    /// Its id.
    pub(crate) fn id(&self) -> &str {
        &self.credential.id
    }

    /// As a user of NATS.
    pub(crate) fn login(&self) -> Result<Login<'_>> {
        Ok(Login { jwt: self.secret("jwt")?, seed: self.secret("seed")? })
    }

    /// What is not secret of it.
    pub(crate) fn field(&self, name: &str) -> Result<&str> {
        self.credential
            .fields
            .get(name)
            .map(String::as_str)
            .with_context(|| format!("a credential has no field `{name}`"))
    }

    /// What is.
    pub(crate) fn secret(&self, name: &str) -> Result<&str> {
        self.secrets
            .get(name)
            .map(String::as_str)
            .with_context(|| format!("a credential has no secret `{name}`"))
    }
}
