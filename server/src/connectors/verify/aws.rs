//! AWS.

use async_trait::async_trait;

use super::far_side::FarSide;
use super::{Protocol, Verified, VerifyError};

pub(super) struct Aws;

#[async_trait]
impl Protocol for Aws {
    async fn verify(&self, _: &FarSide<'_>) -> Result<Verified, VerifyError> {
        Err(VerifyError::refused("/kind", "connectors of this kind cannot be verified yet"))
    }
}
