//! What OpenBao refuses: requests of a second. Its limit counts an address, and the platform's own calls
//! into the namespace come from the same one here: so it is seen that no more than the limit are answered,
//! and not how many fewer.

use std::time::Instant;

use anyhow::Result;
use serde_json::Value;

use crate::tenant::{Tenant, base_units, text};
use crate::{Case, Refused};

/// No machine is so slow that it does not pass the small limit within so many.
const REQUESTS_MAX: i64 = 5_000;

/// How a row of requests ended.
enum Ended {
    /// One was refused, after as many answers as the limit allows.
    Refused,
    /// There were more answers than the limit allows,
    Beyond,
    /// or all requests were made, too slowly for either.
    Never,
}

/// Requests of the tenant's own token, one after the other, until there were too many in a second; then
/// more than ever fit into the small limit, and none refused.
pub(crate) fn requests<'a>(tenant: &'a Tenant<'a>, case: &Case) -> Result<Refused<'a>> {
    let limit = base_units(case.dimension, case.small)?;
    let (fields, secrets) = tenant.credential("openbao")?;
    let ask = move || -> Result<Ended> {
        let (token, namespace) = (text(&secrets["token"])?, text(&fields["namespace"])?);
        let began = Instant::now();
        for answered in 0..REQUESTS_MAX {
            // A span that begins and ends within a second is in two of them.
            let seconds = i64::try_from(began.elapsed().as_secs())? + 2;
            if answered > limit * seconds {
                return Ok(Ended::Beyond);
            }
            let asked =
                tenant.admin.openbao_as(token, namespace, "GET", "auth/token/lookup-self", &Value::Null)?;
            match asked.status.as_u16() {
                200 => {}
                429 => return Ok(Ended::Refused),
                _ => anyhow::bail!("request {answered}: {} {}", asked.status, asked.body),
            }
        }
        Ok(Ended::Never)
    };
    match ask()? {
        Ended::Refused => {}
        Ended::Beyond => anyhow::bail!("more than {limit} a second were answered"),
        Ended::Never => anyhow::bail!("{REQUESTS_MAX} requests at once, and none refused"),
    }
    tenant.limit_is(case.dimension, case.small)?;
    Ok(Box::new(move || {
        tenant.done(|| match ask()? {
            Ended::Beyond => Ok(Ok(())),
            Ended::Refused => Ok(Err("too many requests".to_owned())),
            Ended::Never => Ok(Err(format!("{REQUESTS_MAX} requests were never more than {limit} a second"))),
        })
    }))
}
