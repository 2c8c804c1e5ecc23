//! Calls about connectors.

use integraci_api::connectors::{
    Connector, ConnectorCreate, ConnectorUpdate, OldSecret, SecretComparison, SecretDifference,
};
use integraci_api::operations::Operation;
use integraci_api::{ConnectorId, Page, ProblemCode, TenantId, page};
use reqwest::Method;

use super::send::{Call, none_if_not_found};
use super::{Api, Error, IdempotencyKey, Patience};

const PAGE: &str = "page of connectors";

impl Api {
    /// Asks for a connector and waits until it is in force. `accepted` hears the id as soon as there
    /// is one, before the wait; twice where the server lost the secret and is asked again.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub async fn connector_install(
        &self,
        tenant: TenantId,
        wanted: &ConnectorCreate,
        patience: &Patience,
        mut accepted: impl FnMut(&Operation) + Send,
    ) -> Result<Operation, Error> {
        let _change = self.lists.change(tenant);
        let mut once_more = true;
        loop {
            let installed = async {
                let key = IdempotencyKey::fresh();
                let ask = || self.connector_create(tenant, wanted, &key, patience);
                let operation = self.once_free(patience, ask).await?;
                accepted(&operation);
                self.operation_wait(operation, patience).await
            };
            match installed.await {
                Err(error) if once_more && error.code() == Some(ProblemCode::SecretLost) => once_more = false,
                settled => return settled,
            }
        }
    }

    async fn connector_create(
        &self,
        tenant: TenantId,
        wanted: &ConnectorCreate,
        key: &IdempotencyKey,
        patience: &Patience,
    ) -> Result<Operation, Error> {
        let call =
            Call::new(Method::POST, format!("tenants/{tenant}/connectors")).body(wanted.to_body()).key(key);
        self.fetch(&call, "operation", patience).await
    }

    /// The connector, if there is one.
    ///
    /// # Errors
    /// Any of [`Error`] but "not found".
    pub async fn connector_read(
        &self,
        tenant: TenantId,
        id: ConnectorId,
        patience: &Patience,
    ) -> Result<Option<Connector>, Error> {
        let call = Call::new(Method::GET, format!("tenants/{tenant}/connectors/{id}"));
        none_if_not_found(self.fetch(&call, "connector", patience).await)
    }

    /// The tenant's connector of a name, if there is one.
    ///
    /// # Errors
    /// Any of [`Error`] but "not found".
    pub async fn connector_of_name(
        &self,
        tenant: TenantId,
        name: &str,
        patience: &Patience,
    ) -> Result<Option<Connector>, Error> {
        let call = Call::new(Method::GET, format!("tenants/{tenant}/connectors")).query("name", Some(name));
        let page: Option<Page<Connector>> = none_if_not_found(self.fetch(&call, PAGE, patience).await)?;
        Ok(page.and_then(|page| page.items.into_iter().find(|connector| connector.name == name)))
    }

    /// All of the tenant's connectors, oldest first, or those of one kind.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub async fn connector_list(
        &self,
        tenant: TenantId,
        kind: Option<&str>,
        patience: &Patience,
    ) -> Result<Vec<Connector>, Error> {
        let mut connectors = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let page = self.connector_page(tenant, kind, cursor.as_deref(), patience).await?;
            connectors.extend(page.items);
            match page.next_cursor {
                None => return Ok(connectors),
                Some(next) if cursor.as_ref() == Some(&next) => {
                    return Err(Error::NotUnderstood { what: PAGE });
                }
                next => cursor = next,
            }
        }
    }

    /// The first page of the tenant's connectors, or the one after `cursor`.
    pub(super) async fn connector_page(
        &self,
        tenant: TenantId,
        kind: Option<&str>,
        cursor: Option<&str>,
        patience: &Patience,
    ) -> Result<Page<Connector>, Error> {
        let call = Call::new(Method::GET, format!("tenants/{tenant}/connectors"))
            .query("limit", Some(page::MAX_LIMIT))
            .query("cursor", cursor)
            .query("kind", kind);
        self.fetch(&call, PAGE, patience).await
    }

    /// Changes the connector, if it is still at `revision` where one is given, and waits until the
    /// change is in force. Where the server lost the secret, it is asked again.
    ///
    /// # Errors
    /// Any of [`Error`]; what was in force before then still is.
    pub async fn connector_update(
        &self,
        tenant: TenantId,
        id: ConnectorId,
        change: &ConnectorUpdate,
        revision: Option<i64>,
        patience: &Patience,
    ) -> Result<Operation, Error> {
        let _change = self.lists.change(tenant);
        let (mut revision, mut once_more) = (revision, true);
        loop {
            let call = Call::new(Method::PATCH, format!("tenants/{tenant}/connectors/{id}"))
                .body(change.to_body())
                .if_match(revision);
            let changed = async {
                let ask = || self.fetch(&call, "operation", patience);
                let operation = self.once_free(patience, ask).await?;
                self.operation_wait(operation, patience).await
            };
            match changed.await {
                Err(error) if once_more && error.code() == Some(ProblemCode::SecretLost) => once_more = false,
                settled => return settled,
            }
            // The change that came to nothing counts in the revision too.
            if revision.is_some() {
                let known = self.connector_read(tenant, id, patience).await?;
                revision = Some(known.ok_or(Error::Vanished)?.revision);
            }
        }
    }

    /// Asks for the connector to be removed, and waits until it is; also when it is gone already.
    ///
    /// # Errors
    /// Any of [`Error`] but "not found".
    pub async fn connector_remove(
        &self,
        tenant: TenantId,
        id: ConnectorId,
        old_secret: OldSecret,
        patience: &Patience,
    ) -> Result<(), Error> {
        let _change = self.lists.change(tenant);
        let call = Call::new(Method::DELETE, format!("tenants/{tenant}/connectors/{id}"))
            .query("old_secret", (old_secret == OldSecret::Revoke).then_some("revoke"));
        let ask = async || none_if_not_found(self.fetch(&call, "operation", patience).await);
        match self.once_free(patience, ask).await? {
            None => Ok(()),
            Some(operation) => self.operation_wait(operation, patience).await.map(drop),
        }
    }

    /// Whether secrets differ from those in force, compared inside the server; `None` when there is
    /// no such connector.
    ///
    /// # Errors
    /// Any of [`Error`] but "not found".
    pub async fn connector_compare(
        &self,
        tenant: TenantId,
        id: ConnectorId,
        secrets: &SecretComparison,
        patience: &Patience,
    ) -> Result<Option<SecretDifference>, Error> {
        let call = Call::new(Method::POST, format!("tenants/{tenant}/connectors/{id}/secret-comparisons"))
            .body(secrets.to_body())
            .repeatable_if(true);
        none_if_not_found(self.fetch(&call, "comparison", patience).await)
    }
}
