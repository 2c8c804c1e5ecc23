//! Metrics, in Prometheus's text format, on an address of their own: they are for the operator and no
//! part of the API.
//!
//! Counters are raised where things happen; what is counted in the database (operations by state,
//! places by state) is read when somebody asks. No label names a tenant.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use crate::store::{Store, StoreError};

/// The metrics of this process.
#[derive(Clone)]
pub struct Metrics {
    handle: PrometheusHandle,
    store: Store,
}

impl Metrics {
    /// Begins to keep what is counted from now on. A second one in the same process keeps nothing: what
    /// is counted goes to the first.
    #[must_use]
    pub fn new(store: Store) -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        let _ = metrics::set_global_recorder(recorder);
        metrics::describe_counter!(
            "integraci_drift_total",
            "Places found to differ from what they should be"
        );
        metrics::describe_counter!(
            "integraci_attestations_total",
            "Attestations made, by whether they passed"
        );
        metrics::describe_counter!(
            "integraci_step_failures_total",
            "Steps of operations that failed, by class"
        );
        metrics::describe_counter!(
            "integraci_requests_limited_total",
            "Requests refused because there were too many, by the limit"
        );
        metrics::describe_counter!("integraci_events_published_total", "Events told to tenants");
        metrics::describe_counter!(
            "integraci_events_set_aside_total",
            "Events that were not told, because they are larger than their tenant's account allows"
        );
        metrics::describe_gauge!("integraci_events_waiting", "Events that are not told yet");
        metrics::describe_counter!(
            "integraci_connector_checks_total",
            "Times that connectors' far sides were asked, by kind and what they said"
        );
        metrics::describe_counter!(
            "integraci_webhook_deliveries_total",
            "Tries to tell webhooks of events, by what came of them"
        );
        metrics::describe_counter!(
            "integraci_inbound_deliveries_total",
            "What far sides sent to connectors' addresses, by kind and what became of it"
        );
        metrics::describe_counter!(
            "integraci_usage_events_total",
            "Events that tenants sent to be counted, by what became of them"
        );
        metrics::describe_gauge!("integraci_connectors", "Connectors, by what their far sides last said");
        metrics::describe_gauge!("integraci_operations", "Operations that are not over, by state");
        metrics::describe_gauge!("integraci_places", "Tenants' places, by system and state");
        Self { handle, store }
    }

    /// `GET /metrics`.
    pub fn router(self) -> Router {
        Router::new().route("/metrics", get(scrape)).with_state(self)
    }

    /// Reads what is counted in the database.
    async fn refresh(&self) -> Result<(), StoreError> {
        let mut tx = self.store.platform_tx().await?;
        let operations: Vec<(String, i64)> = sqlx::query_as(
            "SELECT s.state, count(o.id) FROM (VALUES ('running'), ('undoing'), ('stuck')) s (state)
             LEFT JOIN operation o ON o.state = s.state GROUP BY s.state",
        )
        .fetch_all(tx.conn())
        .await
        .map_err(StoreError::on("count operations"))?;
        for (state, count) in operations {
            metrics::gauge!("integraci_operations", "state" => state).set(as_f64(count));
        }
        let places: Vec<(String, String, i64)> = sqlx::query_as(
            "SELECT sys.system, st.state, count(p.tenant_id)
             FROM (SELECT DISTINCT system FROM tenant_system) sys
             CROSS JOIN (VALUES ('pending'), ('ready'), ('suspended'), ('drifted'), ('unknown')) st (state)
             LEFT JOIN tenant_system p ON p.system = sys.system AND p.state = st.state
             GROUP BY sys.system, st.state",
        )
        .fetch_all(tx.conn())
        .await
        .map_err(StoreError::on("count places"))?;
        for (system, state, count) in places {
            metrics::gauge!("integraci_places", "system" => system, "state" => state).set(as_f64(count));
        }
        let connectors: Vec<(String, i64)> = sqlx::query_as(
            "SELECT s.status, count(c.id) FROM (VALUES ('unverified'), ('verified'), ('refused'), ('unreachable')) s (status)
             LEFT JOIN connector c ON c.verification_status = s.status GROUP BY s.status",
        )
        .fetch_all(tx.conn())
        .await
        .map_err(StoreError::on("count connectors"))?;
        for (status, count) in connectors {
            metrics::gauge!("integraci_connectors", "status" => status).set(as_f64(count));
        }
        let waiting: i64 = sqlx::query_scalar("SELECT count(*) FROM event_outbox")
            .fetch_one(tx.conn())
            .await
            .map_err(StoreError::on("count events"))?;
        metrics::gauge!("integraci_events_waiting").set(as_f64(waiting));
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "a count of rows is exact in a float")]
const fn as_f64(count: i64) -> f64 {
    count as f64
}

async fn scrape(State(metrics): State<Metrics>) -> Response {
    if let Err(error) = metrics.refresh().await {
        tracing::warn!(error = &error as &dyn std::error::Error, "metrics could not be read");
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], metrics.handle.render()).into_response()
}
