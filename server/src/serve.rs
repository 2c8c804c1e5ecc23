//! One replica of the server: listens, carries out operations, and leaves without dropping either.

use std::collections::BTreeMap;
use std::future::IntoFuture as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use crate::accounts::Tokens;
use crate::app::App;
use crate::attestations::Attestations;
use crate::billing::stripe::Stripe;
use crate::billing::{self, Biller, Billing};
use crate::config::{CellConfig, Config};
use crate::connectors::inbound::Inbound;
use crate::connectors::outbound::{Outbound, OutboundSetupError};
use crate::connectors::secrets::ConnectorSecrets;
use crate::connectors::verify::Verifier;
use crate::connectors::{self, Connectors, Deliveries, Keeper};
use crate::credentials::Credentials;
use crate::events::Publisher;
use crate::http;
use crate::idempotency;
use crate::isolation::http::HttpSetupError;
use crate::isolation::keycloak::{self, Keycloak};
use crate::isolation::kubernetes::{self, Kubernetes};
use crate::isolation::nats::{Nats, NatsConfig, NatsSetupError};
use crate::isolation::openbao::{Client, ClientError, OpenBao, Signer, TenantKeys, renewal};
use crate::isolation::{Cell, Cells};
use crate::metrics::Metrics;
use crate::oidc::Issuer;
use crate::operations::Operations;
use crate::quotas::{self, Quotas};
use crate::request_limits::{self, RequestLimits};
use crate::saga::{DefinitionError, Definitions, Runner, RunnerConfig};
use crate::source::Source;
use crate::store::{Changes, Store, StoreError, schema_is_current};
use crate::tenants::{self, Reconciler, Tenants};
use crate::usage::{Collector, Meter};

/// How long requests under way may go on after the server was told to stop: longer than a long poll
/// lasts once it is told, shorter than the half minute after which supervisors kill.
const DRAIN: Duration = Duration::from_secs(20);

/// Why a replica did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The database is away, or refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The database is of another version.
    #[error(
        "the database's schema is not this build's; run `integraci-server migrate` with this build first"
    )]
    Schema,
    /// OpenBao's client cannot be made.
    #[error(transparent)]
    OpenBao(#[from] ClientError),
    /// A system's HTTP client cannot be made.
    #[error(transparent)]
    Http(#[from] HttpSetupError),
    /// Kubernetes' client cannot be made.
    #[error(transparent)]
    Kubernetes(#[from] kubernetes::ClientError),
    /// NATS cannot be worked with as it is configured.
    #[error(transparent)]
    Nats(#[from] NatsSetupError),
    /// The client for far sides cannot be made.
    #[error(transparent)]
    Outbound(#[from] OutboundSetupError),
    /// The client for Stripe cannot be made.
    #[error("the HTTP client for Stripe cannot be set up; has this machine trusted CA certificates?")]
    Stripe,
    /// A fault of the build.
    #[error(transparent)]
    Sagas(#[from] DefinitionError),
    /// The address is not free, or not ours.
    #[error("cannot listen on {0}")]
    Listen(std::net::SocketAddr, #[source] std::io::Error),
    /// The listener broke.
    #[error("the listener broke")]
    Accept(#[source] std::io::Error),
}

/// A replica that has all it needs and listens.
pub struct Replica {
    listener: TcpListener,
    app: App,
    store: Store,
    changes: Changes,
    runner: Runner,
    reconciler: Reconciler,
    keeper: Keeper,
    deliveries: Deliveries,
    biller: Biller,
    publisher: Publisher,
    collector: Collector,
    /// OpenBao's client, and the file that its token was read from.
    bao: (Client, Option<PathBuf>),
    metrics: Option<(TcpListener, Metrics)>,
    limits: http::HttpLimits,
    stop: CancellationToken,
}

impl Replica {
    /// Makes everything and begins to listen.
    ///
    /// # Errors
    /// Something it cannot do without is missing; says which.
    pub async fn start(config: Config) -> Result<Self, ServeError> {
        let stop = CancellationToken::new();
        let store = Store::new(&config.store)?;
        if !schema_is_current(&store).await? {
            return Err(ServeError::Schema);
        }
        quotas::apply_plans(&store, &config.plans).await?;
        let source = Source::real();
        let replica: Arc<str> = format!("replica-{}", source.uuid().simple()).into();
        let bao = Client::new(&config.openbao.system)?;
        let cells = Arc::new(cells(&config, &bao, source)?);
        let secrets = ConnectorSecrets::new(bao.clone());
        let listener = bind(config.listen).await?;
        let public_url = public_url(config.public_url.clone(), &listener)?;
        let issuer = Issuer::new(public_url.clone(), Signer::new(bao.clone()));
        let outbound = Outbound::new(&config.outbound)?;
        let verifier = Verifier::new(outbound.clone(), issuer.clone());
        let stripe = stripe(&config)?;
        let billing = Billing::new(store.clone(), source, config.plans.clone(), stripe);
        let biller = Biller::new(billing.clone(), config.statements_every);
        let sagas = tenants::definitions(&store, &cells, source, &billing)
            .into_iter()
            .chain(billing::definitions(&billing))
            .chain(connectors::definitions(&store, &secrets, &verifier, source))
            .collect();
        let reconciler = Reconciler::new(store.clone(), cells.clone(), source, config.reconcile_every);
        let deliveries = Deliveries::new(store.clone(), secrets.clone(), outbound, source);
        let keeper = Keeper::new(
            store.clone(),
            secrets.clone(),
            verifier.clone(),
            source,
            config.connectors_checked_every,
        );
        let changes = Changes::default();
        let nats = nats_cells(&config, &bao, source)?;
        let publisher = Publisher::new(store.clone(), changes.clone(), nats.clone());
        let meter = Meter::new(store.clone(), source, config.usage_late);
        let collector = Collector::new(store.clone(), meter.clone(), source, nats);
        let runner = Runner::new(
            store.clone(),
            changes.clone(),
            Arc::new(Definitions::new(sagas)?),
            RunnerConfig {
                lease: config.operation_lease,
                late: config.operation_late,
                ..RunnerConfig::new(replica.to_string())
            },
        );
        let app = App {
            tokens: Tokens::new(store.clone(), source),
            request_limits: RequestLimits::new(
                store.clone(),
                config.http.requests_per_minute_per_token,
                request_limits::WINDOW,
            ),
            credentials: Credentials::new(store.clone(), source, cells.clone()),
            attestations: Attestations::new(store.clone(), source, cells.clone(), Signer::new(bao.clone())),
            tenants: Tenants::new(
                store.clone(),
                source,
                config.plans.clone(),
                cells.clone(),
                billing.clone(),
            ),
            billing,
            inbound: Inbound::new(store.clone(), source, secrets.clone()),
            connectors: Connectors::new(store.clone(), source, secrets, keeper.clone(), replica, public_url),
            issuer,
            quotas: Quotas::new(store.clone(), source, cells),
            meter,
            operations: Operations::new(store.clone(), changes.clone(), stop.clone()),
            plans: config.plans,
            store: store.clone(),
        };
        let metrics = match config.metrics_listen {
            Some(address) => Some((bind(address).await?, Metrics::new(store.clone()))),
            None => None,
        };
        let bao = (bao, config.openbao.credential_file);
        let limits = config.http;
        Ok(Self {
            listener,
            app,
            store,
            changes,
            runner,
            reconciler,
            keeper,
            deliveries,
            biller,
            publisher,
            collector,
            bao,
            metrics,
            limits,
            stop,
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The listener is broken.
    pub fn address(&self) -> Result<std::net::SocketAddr, ServeError> {
        self.listener.local_addr().map_err(ServeError::Accept)
    }

    /// Where its metrics are, if it has any.
    #[must_use]
    pub fn metrics_address(&self) -> Option<std::net::SocketAddr> {
        self.metrics.as_ref().and_then(|(listener, _)| listener.local_addr().ok())
    }

    /// Serves until `told_to_stop`; then takes no more requests, lets those under way end, finishes or
    /// hands over the operations it holds, and closes the database.
    ///
    /// # Errors
    /// The listener broke.
    pub async fn serve(self, told_to_stop: CancellationToken) -> Result<(), ServeError> {
        let stop = self.stop;
        let tasks = TaskTracker::new();
        tasks.spawn(self.changes.clone().listen(self.store.clone(), stop.clone()));
        tasks.spawn(self.runner.run(stop.clone()));
        tasks.spawn(self.reconciler.run(stop.clone()));
        tasks.spawn(self.keeper.run(stop.clone()));
        tasks.spawn(self.deliveries.run(stop.clone()));
        tasks.spawn(self.biller.run(stop.clone()));
        tasks.spawn(self.publisher.run(stop.clone()));
        tasks.spawn(self.collector.run(stop.clone()));
        let (bao, token_file) = self.bao;
        tasks.spawn(renewal(bao, token_file, stop.clone()));
        tasks.spawn(self.app.credentials.clone().sweep(stop.clone()));
        tasks.spawn(idempotency::forget_old(self.store.clone(), stop.clone()));
        tasks.spawn(self.app.request_limits.clone().forget_old(stop.clone()));
        tasks.spawn(self.app.inbound.clone().forget_old(stop.clone()));
        tasks.spawn(self.app.meter.clone().forget_old(stop.clone()));
        if let Some((listener, metrics)) = self.metrics {
            let serving = axum::serve(listener, metrics.router());
            tasks.spawn(serving.with_graceful_shutdown(stop.clone().cancelled_owned()).into_future());
        }
        tasks.close();
        let router = http::router(self.app, self.limits);
        let served =
            axum::serve(self.listener, router).with_graceful_shutdown(stop.clone().cancelled_owned());
        let drained = async {
            told_to_stop.cancelled().await;
            tracing::info!("stopping: requests under way end, operations are finished or handed over");
            stop.cancel();
            tokio::time::sleep(DRAIN).await;
        };
        let result = tokio::select! {
            result = served.into_future() => result.map_err(ServeError::Accept),
            () = drained => {
                tracing::warn!("requests were still under way when the time to stop was up");
                Ok(())
            }
        };
        stop.cancel();
        tasks.wait().await;
        self.store.close().await;
        result
    }
}

async fn bind(address: std::net::SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|error| ServeError::Listen(address, error))
}

/// Where the platform is reached from outside. Port 0 there stands for the free one that was got: of a
/// server that is tried out on one machine nobody knows it before.
fn public_url(configured: Option<Url>, listener: &TcpListener) -> Result<Option<Url>, ServeError> {
    let Some(mut url) = configured else { return Ok(None) };
    if url.port() == Some(0) {
        let port = listener.local_addr().map_err(ServeError::Accept)?.port();
        // A URL with a port takes another.
        let _ = url.set_port(Some(port));
    }
    Ok(Some(url))
}

/// Stripe's client, where the configuration names Stripe.
pub(crate) fn stripe(config: &Config) -> Result<Option<Stripe>, ServeError> {
    let Some(stripe) = &config.stripe else { return Ok(None) };
    Stripe::new(stripe.clone()).map(Some).ok_or(ServeError::Stripe)
}

/// Every cell of every system that the configuration names.
pub(crate) fn cells(config: &Config, bao: &Client, source: Source) -> Result<Cells, ServeError> {
    let mut cells = Cells::default();
    cells.add(Cell {
        name: config.openbao.name.clone(),
        capacity: config.openbao.capacity,
        system: Arc::new(OpenBao::new(bao.clone())),
    });
    let keys = TenantKeys::new(bao.clone());
    for cell in &config.keycloak {
        let keycloak = Keycloak::new(keycloak::Client::new(&cell.system)?, keys.clone(), source);
        cells.add(Cell { name: cell.name.clone(), capacity: cell.capacity, system: Arc::new(keycloak) });
    }
    for cell in &config.nats {
        let nats = Nats::new(cell.system.clone(), keys.clone(), source)?;
        cells.add(Cell { name: cell.name.clone(), capacity: cell.capacity, system: Arc::new(nats) });
    }
    for cell in &config.kubernetes {
        cells.add(Cell {
            name: cell.name.clone(),
            capacity: cell.capacity,
            system: Arc::new(Kubernetes::of_cell(cell, source)?),
        });
    }
    Ok(cells)
}

/// Every NATS that the configuration names, for the publisher, which goes into tenants' accounts alone, and
/// for the collector, which has a connection into the system account of its own.
fn nats_cells(
    config: &Config,
    bao: &Client,
    source: Source,
) -> Result<BTreeMap<String, Nats>, NatsSetupError> {
    let keys = TenantKeys::new(bao.clone());
    let cell = |cell: &CellConfig<NatsConfig>| {
        Ok((cell.name.clone(), Nats::new(cell.system.clone(), keys.clone(), source)?))
    };
    config.nats.iter().map(cell).collect()
}
