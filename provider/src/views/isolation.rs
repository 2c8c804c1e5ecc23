//! `isolation`: a tenant's place in every system.

use integraci_api::isolation::{self, TenantIsolation};
use tfplugin::{Schema, Value};

/// The tenant's place in each system, and how it is: `ready`, `suspended`, `pending` while it is being made
/// or changed, `drifted` while it differs from what it should be, `unknown` while the system does not
/// answer, or `off` where the platform does not use the system.
#[derive(Schema, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Isolation {
    /// Its rows in the platform's database.
    #[attribute(computed)]
    postgres: Value<Postgres>,
    /// Its namespace in OpenBao.
    #[attribute(computed)]
    openbao: Value<OpenBao>,
    /// Its realm in Keycloak.
    #[attribute(computed)]
    keycloak: Value<Keycloak>,
    /// Its account in NATS.
    #[attribute(computed)]
    nats: Value<Nats>,
    /// Its namespace in Kubernetes.
    #[attribute(computed)]
    kubernetes: Value<Kubernetes>,
}

/// A place in the database.
#[derive(Schema, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Postgres {
    /// How the place is.
    #[attribute(computed)]
    state: Value<String>,
}

/// A place in OpenBao.
#[derive(Schema, Clone, Debug, PartialEq, Eq)]
pub(crate) struct OpenBao {
    /// How the place is.
    #[attribute(computed)]
    state: Value<String>,
    /// Address of the OpenBao.
    #[attribute(computed)]
    address: Value<String>,
    /// Path of the namespace.
    #[attribute(computed)]
    namespace: Value<String>,
}

/// A place in Keycloak.
#[derive(Schema, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Keycloak {
    /// How the place is.
    #[attribute(computed)]
    state: Value<String>,
    /// Issuer of the realm's tokens; its OpenID configuration is below it.
    #[attribute(computed)]
    issuer_url: Value<String>,
}

/// A place in NATS.
#[derive(Schema, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Nats {
    /// How the place is.
    #[attribute(computed)]
    state: Value<String>,
    /// Address of the servers.
    #[attribute(computed)]
    url: Value<String>,
    /// Public key of the account.
    #[attribute(computed)]
    account: Value<String>,
    /// What the tenant's subjects begin with, without the trailing `.>`.
    #[attribute(computed)]
    subject_prefix: Value<String>,
}

/// A place in Kubernetes.
#[derive(Schema, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kubernetes {
    /// How the place is.
    #[attribute(computed)]
    state: Value<String>,
    /// Address of the API server.
    #[attribute(computed)]
    server: Value<String>,
    /// The namespace.
    #[attribute(computed)]
    namespace: Value<String>,
}

fn state(place: &isolation::Place) -> Value<String> {
    place.state.as_str().to_owned().into()
}

impl From<TenantIsolation> for Isolation {
    fn from(there: TenantIsolation) -> Self {
        let TenantIsolation { postgres, openbao, keycloak, nats, kubernetes } = there;
        Self {
            postgres: Postgres { state: state(&postgres) }.into(),
            openbao: OpenBao {
                state: state(&openbao.place),
                address: openbao.address.into(),
                namespace: openbao.namespace.into(),
            }
            .into(),
            keycloak: Keycloak { state: state(&keycloak.place), issuer_url: keycloak.issuer_url.into() }
                .into(),
            nats: Nats {
                state: state(&nats.place),
                url: nats.url.into(),
                account: nats.account.into(),
                subject_prefix: nats.subject_prefix.into(),
            }
            .into(),
            kubernetes: Kubernetes {
                state: state(&kubernetes.place),
                server: kubernetes.server.into(),
                namespace: kubernetes.namespace.into(),
            }
            .into(),
        }
    }
}
