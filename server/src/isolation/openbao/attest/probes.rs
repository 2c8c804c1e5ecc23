//! What an attestation tries, but for what is not a single call.

use integraci_api::attestations::CheckKind;
use serde_json::{Value, json};

use crate::isolation::openbao::place::TENANT;

/// With whose token something is tried.
#[derive(Clone, Copy)]
pub(super) enum Who {
    Tenant,
    Canary,
    Platform,
}

/// In whose namespace.
#[derive(Clone, Copy)]
pub(super) enum At {
    Own,
    Canary,
    Platform,
    Root,
}

/// By what call.
#[derive(Clone, Copy)]
pub(super) enum How {
    Read,
    Write(fn() -> Value),
    Delete,
}

/// One thing that is tried.
pub(super) struct Probe {
    pub(super) check: &'static str,
    pub(super) kind: CheckKind,
    pub(super) attempted: &'static str,
    pub(super) who: Who,
    pub(super) at: At,
    pub(super) how: How,
    /// `{probe}` stands for a name that nothing else has, `{canary}` for the canary's namespace.
    pub(super) path: &'static str,
}

/// Something that must succeed.
const fn control(
    check: &'static str,
    attempted: &'static str,
    who: Who,
    at: At,
    path: &'static str,
) -> Probe {
    Probe { check, kind: CheckKind::Control, attempted, who, at, how: How::Read, path }
}

/// Something that the tenant's token tries and may not.
const fn attempt(check: &'static str, attempted: &'static str, at: At, path: &'static str) -> Probe {
    Probe { check, kind: CheckKind::Attempt, attempted, who: Who::Tenant, at, how: How::Read, path }
}

impl Probe {
    const fn write(self, body: fn() -> Value) -> Self {
        Self { how: How::Write(body), ..self }
    }

    const fn delete(self) -> Self {
        Self { how: How::Delete, ..self }
    }
}

fn secret() -> Value {
    json!({ "options": { "cas": 0 }, "data": { "probe": "of an attestation" } })
}

fn policy() -> Value {
    json!({ "policy": "path \"*\" { capabilities = [\"read\"] }" })
}

/// What puts the targets where the attempts then reach for them.
pub(super) const FIRST: &[Probe] = &[
    control(
        "write_own_secret",
        "the tenant's token writes a secret of its own",
        Who::Tenant,
        At::Own,
        "secret/data/{probe}",
    )
    .write(secret),
    control(
        "canary_writes_its_secret",
        "the other tenant's token writes the secret that is reached for",
        Who::Canary,
        At::Canary,
        "secret/data/{probe}",
    )
    .write(secret),
    control(
        "platform_writes_connector_secret",
        "the platform writes a secret where those of the tenant's connectors are",
        Who::Platform,
        At::Own,
        "secret/data/connectors/{probe}",
    )
    .write(secret),
];

pub(super) const THEN: &[Probe] = &[
    control(
        "read_own_secret",
        "the tenant's token reads its own secret",
        Who::Tenant,
        At::Own,
        "secret/data/{probe}",
    ),
    control(
        "list_own_secrets",
        "the tenant's token lists its own secrets",
        Who::Tenant,
        At::Own,
        "secret/metadata/?list=true",
    ),
    control(
        "canary_reads_its_secret",
        "the other tenant's token reads the secret that is reached for",
        Who::Canary,
        At::Canary,
        "secret/data/{probe}",
    ),
    control(
        "platform_reads_connector_secret",
        "the platform reads the connector's secret that is reached for",
        Who::Platform,
        At::Own,
        "secret/data/connectors/{probe}",
    ),
    control(
        "platform_reads_policy_of_another_tenant",
        "the platform reads the other tenant's policy",
        Who::Platform,
        At::Canary,
        "sys/policies/acl/tenant",
    ),
    control(
        "platform_reads_namespace_of_another_tenant",
        "the platform reads the other tenant's namespace",
        Who::Platform,
        At::Platform,
        "sys/namespaces/{canary}",
    ),
    control(
        "platform_reads_signing_key",
        "the platform reads the key that it signs with",
        Who::Platform,
        At::Platform,
        "integraci-transit/keys/attestation",
    ),
    attempt(
        "read_secret_of_another_tenant",
        "read a secret in another tenant's namespace",
        At::Canary,
        "secret/data/{probe}",
    ),
    attempt(
        "read_secret_of_another_tenant_by_its_path",
        "read the same by its path from the platform's namespace",
        At::Platform,
        "{canary}/secret/data/{probe}",
    ),
    attempt(
        "list_secrets_of_another_tenant",
        "list the secrets of another tenant",
        At::Canary,
        "secret/metadata/?list=true",
    ),
    attempt(
        "write_secret_of_another_tenant",
        "write a secret into another tenant's namespace",
        At::Canary,
        "secret/data/{probe}-written",
    )
    .write(secret),
    attempt(
        "delete_secret_of_another_tenant",
        "delete a secret of another tenant",
        At::Canary,
        "secret/data/{probe}",
    )
    .delete(),
    attempt(
        "read_policy_of_another_tenant",
        "read another tenant's policy",
        At::Canary,
        "sys/policies/acl/tenant",
    ),
    attempt(
        "write_policy_of_another_tenant",
        "write a policy into another tenant's namespace",
        At::Canary,
        "sys/policies/acl/{probe}",
    )
    .write(policy),
    attempt(
        "read_namespace_of_another_tenant",
        "look at another tenant's namespace",
        At::Platform,
        "sys/namespaces/{canary}",
    ),
    attempt("list_namespaces", "list all tenants' namespaces", At::Platform, "sys/namespaces?list=true"),
    attempt(
        "read_keys_of_the_platform",
        "read the key by which the platform manages another tenant",
        At::Platform,
        "integraci/data/tenants/{canary}/nats",
    ),
    attempt(
        "sign_as_the_platform",
        "sign with the platform's key",
        At::Platform,
        "integraci-transit/sign/attestation",
    )
    .write(|| json!({ "input": "" })),
    attempt("read_mounts_of_the_platform", "see what the platform has mounted", At::Platform, "sys/mounts"),
    attempt("read_mounts_of_the_root", "see what is mounted in the root namespace", At::Root, "sys/mounts"),
    attempt(
        "read_secret_of_own_connector",
        "read the value of a secret of its own connectors",
        At::Own,
        "secret/data/connectors/{probe}",
    ),
    attempt(
        "write_own_policies",
        "write a policy into its own namespace",
        At::Own,
        "sys/policies/acl/{probe}",
    )
    .write(policy),
    attempt("write_own_roles", "write a role to log in by", At::Own, "auth/approle/role/{probe}")
        .write(|| json!({ "token_policies": [TENANT] })),
    attempt(
        "make_own_secret_ids",
        "make itself another secret id to log in with",
        At::Own,
        "auth/approle/role/tenant/secret-id",
    )
    .write(|| json!({ "ttl": "1s" })),
    attempt("make_tokens", "make further tokens", At::Own, "auth/token/create")
        .write(|| json!({ "policies": [TENANT], "ttl": "1s" })),
    attempt("make_namespaces", "make a namespace in its own", At::Own, "sys/namespaces/{probe}")
        .write(|| json!({})),
    attempt("mount_engines", "mount an engine in its namespace", At::Own, "sys/mounts/{probe}")
        .write(|| json!({ "type": "transit" })),
];
