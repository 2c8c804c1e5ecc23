//! Datadog: its API, by an API key and, for what it guards beside that, an application key.
//!
//! Facts: the reference's "Authentication" (`GET /api/v1/validate`, `GET /api/v2/validate_keys`) and
//! "Getting started with sites". A site knows its own keys alone, and each has its own API host. A
//! key that is not good is a 403.

use async_trait::async_trait;
use reqwest::header::HeaderValue;
use serde::Deserialize;

use super::far_side::{Asked, FarSide, below, header};
use super::{Protocol, Verified, VerifyError};
use crate::connectors::outbound::Request;

const API_KEY_POINTER: &str = "/secrets/api_key";
const APP_KEY_POINTER: &str = "/secrets/app_key";

pub(super) struct Datadog;

#[derive(Deserialize)]
struct Validated {
    valid: bool,
}

#[derive(Deserialize)]
struct KeysValidated {
    status: String,
}

#[async_trait]
impl Protocol for Datadog {
    async fn verify(&self, far_side: &FarSide<'_>) -> Result<Verified, VerifyError> {
        let site = far_side.text("site").unwrap_or("datadoghq.com");
        let base = far_side.address("base_url", &format!("https://api.{site}"))?;
        let place = if far_side.text("base_url").is_some() { "/config/base_url" } else { "/config/site" };
        let asked = Asked { who: "Datadog", secret: API_KEY_POINTER, place };
        let refused =
            |pointer| VerifyError::refused(pointer, "Datadog does not take the key; it must be of this site");

        let api_key = header(far_side.secret("api_key")?.expose(), API_KEY_POINTER)?;
        let read = |path: &[&str], api_key: HeaderValue| {
            Request::get(below(&base, path)).secret_header("dd-api-key", api_key).redirect_is_answer()
        };
        let answered: Validated =
            far_side.ask_json(asked, read(&["api", "v1", "validate"], api_key.clone())).await?;
        if !answered.valid {
            return Err(refused(API_KEY_POINTER));
        }
        if let Some(app_key) = far_side.subject.secrets.get("app_key") {
            // The API key is good: what is refused now is the other.
            let asked = Asked { secret: APP_KEY_POINTER, ..asked };
            let app_key = header(app_key.expose(), APP_KEY_POINTER)?;
            let request = read(&["api", "v2", "validate_keys"], api_key);
            let answered: KeysValidated =
                far_side.ask_json(asked, request.secret_header("dd-application-key", app_key)).await?;
            if answered.status != "ok" {
                return Err(refused(APP_KEY_POINTER));
            }
        }
        Ok(Verified::default())
    }
}
