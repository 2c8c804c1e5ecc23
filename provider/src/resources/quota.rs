//! `integraci_quota`.

use std::collections::BTreeMap;
use std::sync::Arc;

use integraci_api::quotas::{DIMENSIONS, LIMIT_MAX, QuotaSet};
use integraci_api::{ProblemCode, TenantId};
use tfplugin::schema::{AttributeSchema, Nesting, ObjectSchema, Shape};
use tfplugin::value::ValueError;
use tfplugin::{
    Attribute, AttributeType, Cx, Diagnostic, Diagnostics, Dynamic, ImportBy, Imported, ObjectReader,
    Planned, Resource, Saved, Schema, Text, Value,
};

use super::tenant::no_id;
use crate::api::{Api, Error};
use crate::connection::{Connection, patience};
use crate::diagnose::{NOWHERE, diagnose};
use crate::pointer::attribute_or_member;
use crate::views::tenant_named;

/// How much a tenant may have. There is one quota a tenant; what it does not limit is limited by the
/// tenant's plan. Destroying it goes back to the plan's limits.
#[derive(Schema, Clone, Default)]
pub(crate) struct Quota {
    /// The tenant. A change replaces the quota.
    #[attribute(required, replaces)]
    tenant_id: Value<Text<TenantId>>,
    /// Limits of this tenant's own.
    #[attribute(required)]
    limits: Value<Limits>,
    /// The limits in force: these, and the plan's where there is none.
    #[attribute(computed)]
    effective: Value<Effective>,
}

/// A quota is told from all others by its tenant.
#[derive(Schema)]
pub(crate) struct QuotaIdentity {
    /// The tenant.
    #[attribute(required_for_import)]
    tenant_id: Text<TenantId>,
}

/// A limit for every dimension of the catalogue, to be configured.
type Limits = Dimensions<false>;
/// A limit for every dimension of the catalogue, from the server.
type Effective = Dimensions<true>;

/// A number for every dimension of the catalogue.
#[derive(Clone, Default, PartialEq, Eq)]
struct Dimensions<const COMPUTED: bool>(BTreeMap<&'static str, Value<i64>>);

impl<const COMPUTED: bool> AttributeType for Dimensions<COMPUTED> {
    fn shape() -> Shape {
        let mut object = ObjectSchema::new("");
        for dimension in DIMENSIONS {
            let described = format!("{} Unit: {}.", dimension.description, dimension.unit);
            let attribute = AttributeSchema::new::<Value<i64>>(dimension.name).described(&described);
            object.add(if COMPUTED {
                attribute.computed()
            } else {
                attribute.optional().validate::<Value<i64>>(|limit: &i64| {
                    if (0..=LIMIT_MAX).contains(limit) {
                        Ok(())
                    } else {
                        Err(format!("a limit is a whole number from 0 to {LIMIT_MAX}"))
                    }
                })
            });
        }
        Shape::Nested(Nesting::Single, Arc::new(object))
    }

    fn from_known(value: Dynamic) -> Result<Self, ValueError> {
        let fields = match value {
            Dynamic::Object(fields) => fields,
            _ => Default::default(),
        };
        let mut object = ObjectReader::new(fields);
        DIMENSIONS
            .iter()
            .map(|dimension| Ok((dimension.name, object.take(dimension.name)?)))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    fn into_dynamic(self) -> Dynamic {
        Dynamic::Object(
            self.0.into_iter().map(|(name, value)| (name, Attribute::into_dynamic(value))).collect(),
        )
    }
}

impl<const COMPUTED: bool> Dimensions<COMPUTED> {
    fn observed(numbers: &BTreeMap<String, i64>) -> Self {
        let number = |name: &str| numbers.get(name).copied().into();
        Self(DIMENSIONS.iter().map(|dimension| (dimension.name, number(dimension.name))).collect())
    }
}

impl Resource for Quota {
    type Api = Connection;
    type Identity = QuotaIdentity;
    const NAME: &'static str = "integraci_quota";

    async fn create(
        cx: &Cx<Connection>,
        plan: Planned<Self>,
        saved: &mut Saved<Self>,
    ) -> Result<(), Diagnostics> {
        saved.set(plan.into_inner().set(cx).await?);
        Ok(())
    }

    async fn read(cx: &Cx<Connection>, state: Self) -> Result<Option<Self>, Diagnostics> {
        let Some(api) = cx.api()?.api_if_known()? else { return Ok(Some(state)) };
        let found = api.quota_read(state.tenant()?, &patience(cx)).await;
        let found = found.map_err(|error| diagnose(api, "Cannot read the quota", error, NOWHERE))?;
        Ok(found.map(|quota| Self {
            tenant_id: state.tenant_id,
            limits: Limits::observed(&quota.limits).into(),
            effective: Effective::observed(&quota.effective).into(),
        }))
    }

    async fn update(
        cx: &Cx<Connection>,
        _prior: Self,
        plan: Planned<Self>,
        saved: &mut Saved<Self>,
    ) -> Result<(), Diagnostics> {
        saved.set(plan.into_inner().set(cx).await?);
        Ok(())
    }

    async fn delete(cx: &Cx<Connection>, state: Self) -> Result<(), Diagnostics> {
        let api = cx.api()?.api()?;
        let reset = api.quota_reset(state.tenant()?, &patience(cx)).await;
        reset.map_err(|error| diagnose(api, "Cannot go back to the plan's limits", error, NOWHERE))
    }

    async fn import(cx: &Cx<Connection>, by: ImportBy<QuotaIdentity>) -> Result<Vec<Imported>, Diagnostics> {
        let tenant = match by {
            ImportBy::Identity(identity) => identity.tenant_id.0,
            ImportBy::Id(text) => tenant_named(cx.api()?.api()?, text.trim(), &patience(cx)).await?,
        };
        Ok(vec![Imported::new(Self { tenant_id: Text(tenant).into(), ..Self::default() })])
    }

    fn identity(&self) -> Option<QuotaIdentity> {
        self.tenant_id.as_known().map(|tenant_id| QuotaIdentity { tenant_id: *tenant_id })
    }
}

impl Quota {
    fn tenant(&self) -> Result<TenantId, Diagnostics> {
        self.tenant_id.as_known().map(|id| id.0).ok_or_else(|| no_id("tenant"))
    }

    /// Puts the planned limits in force.
    async fn set(self, cx: &Cx<Connection>) -> Result<Self, Diagnostics> {
        let api = cx.api()?.api()?;
        let quota = api
            .quota_set(self.tenant()?, &self.to_request(), &patience(cx))
            .await
            .map_err(|error| set_refused(api, error))?;
        Ok(Self { effective: Effective::observed(&quota.effective).into(), ..self })
    }

    fn to_request(&self) -> QuotaSet {
        let limits = self.limits.as_known().map(|limits| &limits.0).into_iter().flatten();
        let limits = limits.filter_map(|(name, limit)| Some(((*name).to_owned(), *limit.as_known()?)));
        QuotaSet { limits: limits.collect() }
    }
}

fn set_refused(api: &Api, error: Error) -> Diagnostics {
    const DOING: &str = "Cannot set the quota";
    if error.code() == Some(ProblemCode::NotFound) {
        return Diagnostic::error(format!("{DOING}: there is no such tenant"))
            .detail("No tenant that the token may see has this id.")
            .at("tenant_id")
            .into();
    }
    diagnose(api, DOING, error, &attribute_or_member)
}
