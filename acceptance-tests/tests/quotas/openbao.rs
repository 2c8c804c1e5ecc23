//! What OpenBao refuses: requests of a second. Its limit counts an address, and the platform's own calls
//! into the namespace come from the same one here: so how many it takes is not counted, only that it ends.

use std::ops::RangeInclusive;

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::tenant::{Tenant, base_units, text};
use crate::{Case, Refused};

/// No machine is so slow that it does not pass the small limit within so many.
const REQUESTS_MAX: i64 = 5_000;

/// Requests of the tenant's own token, one after the other, until there were too many in a second; then as
/// many, and none refused.
pub(crate) fn requests<'a>(tenant: &'a Tenant<'a>, case: &Case) -> Result<Refused<'a>> {
    let limit = base_units(case.dimension, case.small)?;
    let (fields, secrets) = tenant.credential("openbao")?;
    let refused_of = move |requests: RangeInclusive<i64>| -> Result<Option<i64>> {
        let (token, namespace) = (text(&secrets["token"])?, text(&fields["namespace"])?);
        for n in requests {
            let asked =
                tenant.admin.openbao_as(token, namespace, "GET", "auth/token/lookup-self", &Value::Null)?;
            match asked.status.as_u16() {
                200 => {}
                429 => return Ok(Some(n)),
                _ => anyhow::bail!("request {n}: {} {}", asked.status, asked.body),
            }
        }
        Ok(None)
    };
    let refused = refused_of(1..=REQUESTS_MAX)?;
    ensure!(refused.is_some(), "{REQUESTS_MAX} requests at once, and none refused");
    tenant.limit_is(case.dimension, case.small)?;
    let requests = refused.unwrap_or(limit).max(limit + 1);
    Ok(Box::new(move || {
        tenant.done(|| {
            Ok(refused_of(1..=requests)?.map_or(Ok(()), |n| Err(format!("request {n} of {requests}"))))
        })
    }))
}
