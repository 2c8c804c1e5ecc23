//! A database of its own for each test, in the Postgres that the tests run under.

use integraci_server::store::{Store, StoreConfig, migrate};
use local_platform::Endpoints;
use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnection, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection};
use url::Url;
use uuid::Uuid;

/// A migrated database.
#[derive(Clone)]
pub(crate) struct Database {
    /// How the server reaches it.
    pub(crate) store: Store,
    /// The same, for a replica of its own.
    pub(crate) config: StoreConfig,
    /// Its superuser, whom no policy binds: for looking past the store and for doing harm.
    pub(crate) superuser: PgPool,
}

impl Database {
    /// Makes one.
    pub(crate) async fn new() -> Self {
        let endpoints = Endpoints::from_env().unwrap();
        let superuser_url = &endpoints.postgres().unwrap().superuser_url;
        let name = format!("test_{}", Uuid::now_v7().simple());
        let mut server = PgConnection::connect(superuser_url.expose_secret()).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut server).await.unwrap();
        server.close().await.unwrap();
        let url = |login: Option<&str>| {
            let mut url: Url = superuser_url.expose_secret().parse().unwrap();
            url.set_path(&name);
            if let Some(login) = login {
                url.set_username(login).unwrap();
                // The roles are the cluster's, shared by every test's database.
                url.set_password(Some("of-tests")).unwrap();
            }
            SecretString::from(url.to_string())
        };
        let config = StoreConfig {
            tenant_url: url(Some("integraci_tenant")),
            platform_url: url(Some("integraci_platform")),
            max_connections: 8,
        };
        let admin_url = url(None);
        migrate(&admin_url, &config).await.unwrap();
        let superuser = PgPoolOptions::new().max_connections(2);
        Self {
            store: Store::new(&config).unwrap(),
            config,
            superuser: superuser.connect_lazy(admin_url.expose_secret()).unwrap(),
        }
    }
}
