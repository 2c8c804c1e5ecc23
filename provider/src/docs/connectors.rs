//! `connectors.md`: what each kind of connector takes and can do, written from the catalogue.

use std::fmt::Write as _;

use integraci_api::catalogue::{KINDS, Kind, Tested};

use super::table;
use crate::views::kinds::{self, Keyless};

const INTRODUCTION: &str = "\
# Connectors

A connector ties a tenant to a system outside. In Terraform it is an
[`integraci_connector`](resources/connector.md) with the object of its kind; over the API it is
`POST /v1/tenants/{tenant_id}/connectors` with `kind`, `config` and `secrets`. This page is written by `make docs`
from the catalogue that the server's validation and the provider's schema are made from as well.

A secret goes into the tenant's OpenBao and nowhere else; in Terraform its attribute is write-only and ends
with `_wo`. Before something is put in force the far side is asked, by its own protocol, whether it takes it, and
from then on now and then: see `verify` and `verification_status`.

In the table, *tested against* says what the verification is tested against: the system itself, or an HTTP server of
ours that checks and answers as the system's documentation says. *Without a secret* is by a token that the
platform signs for the tenant, which the far side is told to trust: see the data source
[`integraci_oidc_trust`](data-sources/oidc_trust.md). *Rotates by itself* is `rotate_every_days`, *revokes* is
`on_destroy = \"revoke\"`, and *inbound* says whether the far side's webhooks are taken at `inbound_url`.
`examples/connectors/` has a worked example of each kind.
";

pub(super) fn page() -> String {
    let mut text = INTRODUCTION.to_owned();
    table(
        &mut text,
        &[
            "kind",
            "what",
            "verified by",
            "tested against",
            "without a secret",
            "rotates by itself",
            "revokes",
            "inbound",
        ],
        KINDS.iter().map(|kind| {
            let keyless = match kinds::keyless(kind) {
                Keyless::Always => "always",
                Keyless::Possible => "possible",
                Keyless::Never => "",
            };
            vec![
                format!("[`{0}`](#{0})", kind.name),
                kind.title.to_owned(),
                kind.verified_by.to_owned(),
                match kind.tested {
                    Tested::Real(system) => format!("real: {system}"),
                    Tested::Double(documentation) => format!("double: {documentation}"),
                },
                keyless.to_owned(),
                yes(kind.minted_by.is_some()),
                yes(kind.revoked_by.is_some()),
                yes(kind.inbound.is_some()),
            ]
        }),
    );
    for kind in KINDS {
        section(&mut text, kind);
    }
    text
}

fn section(text: &mut String, kind: &Kind) {
    _ = writeln!(text, "\n## {}\n\n{}\n", kind.name, kind.summary);
    for (title, said) in abilities(kind) {
        _ = writeln!(text, "- **{title}**: {}.", said.trim_end_matches('.'));
    }
    table(
        text,
        &["field", "", "type", "limits", "what"],
        kind.fields.iter().map(|field| {
            vec![
                format!("`{}`", field.name),
                need(field.required),
                kinds::field_type(field.values).to_owned(),
                kinds::field_limits(field),
                field.description.to_owned(),
            ]
        }),
    );
    if kind.secrets.is_empty() {
        return;
    }
    table(
        text,
        &["secret", "", "in Terraform", "limits", "what"],
        kind.secrets.iter().map(|secret| {
            let need = || need(kinds::is_required(kind, secret));
            vec![
                format!("`{}`", secret.name),
                kinds::secret_rule(kind).map_or_else(need, ToOwned::to_owned),
                format!("`{}`", kinds::attribute_of(secret)),
                kinds::secret_limits(secret),
                secret.description.to_owned(),
            ]
        }),
    );
}

/// What there is to say of a kind beside its fields, each under its title.
fn abilities(kind: &Kind) -> Vec<(&'static str, String)> {
    let mut said =
        vec![("Verified by", kind.verified_by.to_owned()), ("Tested against", kinds::tested_against(kind))];
    if let Some(keyless) = kind.keyless {
        let audience = match keyless.audience {
            Some(audience) if has_audience(kind) => {
                format!("its audience is `{audience}`, or what `audience` says")
            }
            Some(audience) => format!("its audience is `{audience}`"),
            None => "its audience follows from the configuration, unless `audience` says another".to_owned(),
        };
        let when = if kind.secrets.is_empty() { "always" } else { "possible" };
        said.push(("Without a secret", format!("{when}; the platform signs a token, and {audience}")));
    }
    said.extend(kind.minted_by.map(|how| ("Rotates by itself", how.to_owned())));
    said.extend(kind.revoked_by.map(|how| ("Revokes", how.to_owned())));
    said.extend(
        kind.inbound
            .map(|inbound| ("Inbound", format!("signed with `{}`: {}", inbound.secret, inbound.signed_by))),
    );
    said
}

fn has_audience(kind: &Kind) -> bool {
    kind.fields.iter().any(|field| field.name == "audience")
}

fn need(required: bool) -> String {
    if required { "required" } else { "optional" }.to_owned()
}

fn yes(holds: bool) -> String {
    if holds { "yes" } else { "" }.to_owned()
}
