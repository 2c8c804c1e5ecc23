//! PagerDuty: REST API version 2, by a key of the account or of a user.
//!
//! Facts: the reference's "Authentication", "Versioning" and "Rate limits", `GET /abilities` and
//! `GET /services/{id}`. What an account can do is shown to every key, so it is asked first.

use async_trait::async_trait;
use reqwest::header::{ACCEPT, HeaderValue};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::far_side::{Asked, FarSide, below, header};
use super::{Protocol, Verified, VerifyError};
use crate::connectors::outbound::Request;

const PAGERDUTY: Asked<'static> =
    Asked { who: "PagerDuty", secret: "/secrets/token", place: "/config/base_url" };

pub(super) struct PagerDuty;

#[derive(Deserialize)]
struct Abilities {
    #[serde(rename = "abilities")]
    _abilities: Vec<String>,
}

#[derive(Deserialize)]
struct Shown {
    service: Service,
}

#[derive(Deserialize)]
struct Service {
    id: String,
}

#[async_trait]
impl Protocol for PagerDuty {
    async fn verify(&self, far_side: &FarSide<'_>) -> Result<Verified, VerifyError> {
        let base = far_side.address("base_url", "https://api.pagerduty.com")?;
        let token = far_side.secret("token")?;
        let login = header(&Zeroizing::new(format!("Token token={}", token.expose())), PAGERDUTY.secret)?;
        let read = |path: &[&str]| {
            Request::get(below(&base, path))
                .header(ACCEPT.as_str(), HeaderValue::from_static("application/vnd.pagerduty+json;version=2"))
                .authorization(login.clone())
                .redirect_is_answer()
        };
        let _: Abilities = far_side.ask_json(PAGERDUTY, read(&["abilities"])).await?;
        if let Some(id) = far_side.text("service_id") {
            let asked = Asked { place: "/config/service_id", ..PAGERDUTY };
            let shown: Shown = far_side.ask_json(asked, read(&["services", id])).await?;
            if shown.service.id != id {
                return Err(VerifyError::refused(asked.place, "PagerDuty shows another service for this id"));
            }
        }
        Ok(Verified::default())
    }
}
