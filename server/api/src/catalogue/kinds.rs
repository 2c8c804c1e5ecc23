//! The kinds themselves. Facts: each far system's own API documentation, named in its verifier.

use super::{Field, FieldValues, Inbound, Keyless, Kind, Secret, SecretFormat, SecretRule, Tested};

/// What a webhook can be told of: the events that a tenant is told of in NATS, but for the two that
/// there is no webhook at.
pub const WEBHOOK_EVENTS: &[&str] = &[
    "connector.created",
    "connector.deleted",
    "connector.failing",
    "connector.rotated",
    "connector.updated",
    "connector.verified",
    "operation.failed",
    "operation.stuck",
    "operation.succeeded",
    "quota.nearly_reached",
    "quota.reached",
    "quota.reset",
    "quota.set",
    "tenant.resumed",
    "tenant.suspended",
    "tenant.updated",
    "usage.rejected",
];

/// Datadog's sites: each is a separate world with its own keys.
const DATADOG_SITES: &[&str] = &[
    "datadoghq.com",
    "us3.datadoghq.com",
    "us5.datadoghq.com",
    "datadoghq.eu",
    "ap1.datadoghq.com",
    "ap2.datadoghq.com",
    "ddog-gov.com",
    "us2.ddog-gov.com",
];

const CA_CERTIFICATE: Field = optional(
    "ca_certificate",
    "Certificate authorities in PEM to trust for this connector, besides the public ones.",
    FieldValues::Certificates,
);

const AUDIENCE: Field =
    optional("audience", "Audience of the token that the platform signs.", FieldValues::Text);

const fn required(name: &'static str, description: &'static str, values: FieldValues) -> Field {
    Field { name, description, required: true, values }
}

const fn optional(name: &'static str, description: &'static str, values: FieldValues) -> Field {
    Field { name, description, required: false, values }
}

const fn secret(name: &'static str, description: &'static str) -> Secret {
    Secret { name, description, required: true, min_bytes: 1, format: SecretFormat::Text }
}

const fn webhook_secret(name: &'static str, description: &'static str) -> Secret {
    Secret { name, description, required: false, min_bytes: 8, format: SecretFormat::Text }
}

/// What most kinds are: one or more secrets, and nothing beyond verification.
const PLAIN: Kind = Kind {
    name: "",
    title: "",
    summary: "",
    fields: &[],
    secrets: &[],
    secret_rule: SecretRule::Each,
    verified_by: "",
    tested: Tested::Double(""),
    keyless: None,
    revoked_by: None,
    minted_by: None,
    inbound: None,
};

/// Every kind, by name.
pub const KINDS: &[Kind] = &[
    Kind {
        name: "artifactory",
        title: "Artifactory",
        summary: "A JFrog Artifactory.",
        fields: &[
            required("url", "Address, such as `https://acme.jfrog.io/artifactory`.", FieldValues::Url),
            optional("repository", "Key of a repository that must be readable.", FieldValues::Text),
            optional("username", "User name that goes with the password.", FieldValues::Text),
            CA_CERTIFICATE,
        ],
        secrets: &[
            secret(
                "token",
                "Access token or identity token; before Artifactory 7.68 the platform's access service must be in its audience.",
            ),
            secret("password", "Password or API key of the user."),
        ],
        secret_rule: SecretRule::ExactlyOne,
        verified_by: "`GET /api/system/ping`; then the token at `GET /access/api/v1/tokens/me`, which tells when it expires, or the password at `GET /api/security/encryptedPassword`; and the repository's root where one is named. That a token's audience has Artifactory in it is not checked.",
        tested: Tested::Double("JFrog Artifactory REST API"),
        ..PLAIN
    },
    Kind {
        name: "aws",
        title: "AWS",
        summary: "A role of an AWS account, assumed without any key.",
        fields: &[
            required(
                "role_arn",
                "The role, such as `arn:aws:iam::123456789012:role/integraci`.",
                FieldValues::Text,
            ),
            optional(
                "region",
                "Region whose STS is asked. Without it the global one, which there is not for a role of China or GovCloud: it needs a region, or `sts_url`.",
                FieldValues::Text,
            ),
            AUDIENCE,
            optional("sts_url", "Address of STS, where it is not the region's own.", FieldValues::Url),
        ],
        verified_by: "STS `AssumeRoleWithWebIdentity` with a token that the platform signs for the tenant.",
        tested: Tested::Double("AWS STS API reference"),
        keyless: Some(Keyless { audience: Some("sts.amazonaws.com") }),
        ..PLAIN
    },
    Kind {
        name: "azure",
        title: "Azure",
        summary: "An application of Microsoft Entra, used without any secret through a federated credential.",
        fields: &[
            required("directory_id", "Directory (tenant) id, a UUID.", FieldValues::Text),
            required("client_id", "Application (client) id, a UUID.", FieldValues::Text),
            optional(
                "scope",
                "What the access token is asked for; `https://management.azure.com/.default` if not said.",
                FieldValues::Text,
            ),
            AUDIENCE,
            optional(
                "authority_url",
                "Address of the authority, `https://login.microsoftonline.com` if not said.",
                FieldValues::Url,
            ),
        ],
        verified_by: "A token by client credentials, with a client assertion that the platform signs for the tenant.",
        tested: Tested::Double("Microsoft identity platform, client credentials with a federated credential"),
        keyless: Some(Keyless { audience: Some("api://AzureADTokenExchange") }),
        ..PLAIN
    },
    Kind {
        name: "azure_devops",
        title: "Azure DevOps",
        summary: "An organisation of Azure DevOps.",
        fields: &[
            required("organization", "Name of the organisation.", FieldValues::Text),
            optional("project", "Project that must be readable.", FieldValues::Text),
            optional("base_url", "Address, `https://dev.azure.com` if not said.", FieldValues::Url),
            CA_CERTIFICATE,
        ],
        secrets: &[secret("token", "Personal access token.")],
        verified_by: "`GET _apis/connectionData`, whose user must not be the anonymous one, and the project where one is named.",
        tested: Tested::Double("Azure DevOps REST API 7.1"),
        ..PLAIN
    },
    Kind {
        name: "bitbucket",
        title: "Bitbucket",
        summary: "A workspace of Bitbucket Cloud.",
        fields: &[
            required("workspace", "The workspace's id, as in its address.", FieldValues::Text),
            optional(
                "email",
                "Account that an API token belongs to; without it the token is an access token.",
                FieldValues::Text,
            ),
            optional(
                "base_url",
                "Address of the API, `https://api.bitbucket.org` if not said.",
                FieldValues::Url,
            ),
            CA_CERTIFICATE,
        ],
        secrets: &[
            secret("token", "API token of the account, or access token of the workspace."),
            webhook_secret("webhook_secret", "Secret of the webhooks that Bitbucket sends here."),
        ],
        verified_by: "Where the token is an account's, `GET /2.0/user` and what the account may in the workspace; else the workspace, which shows that an access token is good. That an access token is of this workspace is not checked.",
        tested: Tested::Double("Bitbucket Cloud REST API 2.0"),
        inbound: Some(Inbound { secret: "webhook_secret", signed_by: "`X-Hub-Signature`, HMAC-SHA256" }),
        ..PLAIN
    },
    Kind {
        name: "container_registry",
        title: "Container registry",
        summary: "A registry that speaks the OCI distribution API.",
        fields: &[
            required("url", "Address of the registry, without `/v2/`.", FieldValues::Url),
            optional(
                "repository",
                "Repository that must be readable, such as `acme/app`. Without it only the login is checked.",
                FieldValues::Text,
            ),
            optional("username", "User name that goes with the password.", FieldValues::Text),
            CA_CERTIFICATE,
        ],
        secrets: &[
            secret("password", "Password or access token of the user."),
            secret("token", "Bearer token, sent as it is."),
        ],
        secret_rule: SecretRule::ExactlyOne,
        verified_by: "`GET /v2/` with the registry's own challenge answered, or, where it is open to everyone, with a made-up login that must be refused; and the repository's tags listed where one is named.",
        tested: Tested::Real("CNCF distribution 3.1.2; the token protocol against a double of ours"),
        ..PLAIN
    },
    Kind {
        name: "datadog",
        title: "Datadog",
        summary: "An organisation of Datadog.",
        fields: &[
            required("site", "The organisation's site.", FieldValues::OneOf(DATADOG_SITES)),
            optional("base_url", "Address of the API, where it is not the site's own.", FieldValues::Url),
        ],
        secrets: &[
            secret("api_key", "API key."),
            Secret { required: false, ..secret("app_key", "Application key.") },
        ],
        verified_by: "`GET /api/v1/validate` with the API key, and `GET /api/v2/validate_keys` where there is an application key.",
        tested: Tested::Double("Datadog API reference"),
        ..PLAIN
    },
    Kind {
        name: "gcp",
        title: "Google Cloud",
        summary: "A service account or a principal of Google Cloud, used without any key.",
        fields: &[
            required(
                "workload_identity_provider",
                "`projects/<number>/locations/global/workloadIdentityPools/<pool>/providers/<provider>`.",
                FieldValues::Text,
            ),
            optional("service_account", "Service account to act as, by its email.", FieldValues::Text),
            AUDIENCE,
            optional(
                "sts_url",
                "Address of the token exchange, `https://sts.googleapis.com` if not said.",
                FieldValues::Url,
            ),
            optional(
                "iam_credentials_url",
                "Address of the IAM credentials API, `https://iamcredentials.googleapis.com` if not said.",
                FieldValues::Url,
            ),
        ],
        verified_by: "A token exchange (RFC 8693) of a token that the platform signs for the tenant, and an access token of the service account where one is named.",
        tested: Tested::Double("Security Token Service API and IAM Service Account Credentials API"),
        keyless: Some(Keyless { audience: None }),
        ..PLAIN
    },
    Kind {
        name: "github_app",
        title: "GitHub App",
        summary: "An installation of a GitHub App.",
        fields: &[
            required("app_id", "The app's id.", FieldValues::Integer),
            required("installation_id", "The installation's id.", FieldValues::Integer),
            optional(
                "base_url",
                "Address of the API, `https://api.github.com` if not said; of a GitHub Enterprise Server `https://host/api/v3`.",
                FieldValues::Url,
            ),
            CA_CERTIFICATE,
        ],
        secrets: &[
            Secret {
                format: SecretFormat::PrivateKey,
                ..secret("private_key", "The app's private key, RSA in PEM, as GitHub gives it.")
            },
            webhook_secret("webhook_secret", "Secret of the webhooks that GitHub sends here."),
        ],
        verified_by: "`GET /app/installations/{id}` with a JWT signed by the key, and an installation token, which is revoked again.",
        tested: Tested::Double("GitHub REST API 2022-11-28"),
        inbound: Some(Inbound { secret: "webhook_secret", signed_by: "`X-Hub-Signature-256`, HMAC-SHA256" }),
        ..PLAIN
    },
    Kind {
        name: "gitlab",
        title: "GitLab",
        summary: "GitLab, the service or one's own.",
        fields: &[
            optional("base_url", "Address, `https://gitlab.com` if not said.", FieldValues::Url),
            optional("group", "Group that must be readable, by its full path.", FieldValues::Text),
            CA_CERTIFICATE,
        ],
        secrets: &[
            secret("token", "Personal, group or project access token."),
            webhook_secret("webhook_secret", "Secret token of the webhooks that GitLab sends here."),
        ],
        verified_by: "`GET /api/v4/personal_access_tokens/self`, which tells when it expires, `GET /api/v4/user`, and the group where one is named.",
        tested: Tested::Double("GitLab REST API v4"),
        revoked_by: Some("`DELETE /api/v4/personal_access_tokens/self`"),
        inbound: Some(Inbound { secret: "webhook_secret", signed_by: "`X-Gitlab-Token`, the secret itself" }),
        ..PLAIN
    },
    Kind {
        name: "jira",
        title: "Jira",
        summary: "A site of Jira Cloud.",
        fields: &[
            required(
                "url",
                "The site, such as `https://acme.atlassian.net`; for a token with scopes `https://api.atlassian.com/ex/jira/<cloud id>`.",
                FieldValues::Url,
            ),
            optional("project", "Key of a project that must be readable.", FieldValues::Text),
            required("email", "Account that the token belongs to.", FieldValues::Text),
            CA_CERTIFICATE,
        ],
        secrets: &[
            secret("api_token", "API token of the account."),
            webhook_secret("webhook_secret", "Secret of the webhooks that Jira sends here."),
        ],
        verified_by: "`GET /rest/api/3/myself`, and the project where one is named.",
        tested: Tested::Double("Jira Cloud REST API v3"),
        inbound: Some(Inbound { secret: "webhook_secret", signed_by: "`X-Hub-Signature`, HMAC-SHA256" }),
        ..PLAIN
    },
    Kind {
        name: "kubernetes_cluster",
        title: "Kubernetes cluster",
        summary: "A Kubernetes cluster outside the platform.",
        fields: &[
            required("url", "Address of the API server.", FieldValues::Url),
            CA_CERTIFICATE,
            optional("namespace", "Namespace that is worked in, `default` if not said.", FieldValues::Text),
            optional(
                "audience",
                "Audience of the token that the platform signs, or that the API server makes for the service account; without it `integraci` and the API server's own.",
                FieldValues::Text,
            ),
            optional(
                "service_account",
                "The service account, in the namespace, that the next token is of. With it the secret can be rotated without a new one being given; the login needs the verb `create` on `serviceaccounts/token`.",
                FieldValues::Text,
            ),
        ],
        secrets: &[
            secret("token", "Bearer token, such as a service account's."),
            secret(
                "kubeconfig",
                "A kubeconfig whose current context has a token or a client certificate in it, and neither commands nor file names.",
            ),
        ],
        secret_rule: SecretRule::AtMostOne,
        verified_by: "A `SelfSubjectReview`, whose user must not be anonymous, and a `SelfSubjectAccessReview` for listing pods in the namespace.",
        tested: Tested::Real("Kubernetes 1.37.2"),
        keyless: Some(Keyless { audience: Some("integraci") }),
        minted_by: Some(
            "The service account's `token` subresource (TokenRequest), where `service_account` is set",
        ),
        ..PLAIN
    },
    Kind {
        name: "pagerduty",
        title: "PagerDuty",
        summary: "An account of PagerDuty.",
        fields: &[
            optional("service_id", "Service that must be readable, by its id.", FieldValues::Text),
            optional(
                "base_url",
                "Address of the API, `https://api.pagerduty.com` if not said; in the EU `https://api.eu.pagerduty.com`.",
                FieldValues::Url,
            ),
        ],
        secrets: &[
            secret("token", "REST API key, of the account or of a user."),
            webhook_secret("webhook_secret", "Secret of the webhook subscription that PagerDuty sends here."),
        ],
        verified_by: "`GET /abilities`, and the service where one is named.",
        tested: Tested::Double("PagerDuty REST API v2"),
        inbound: Some(Inbound {
            secret: "webhook_secret",
            signed_by: "`X-PagerDuty-Signature`, HMAC-SHA256",
        }),
        ..PLAIN
    },
    Kind {
        name: "slack",
        title: "Slack",
        summary: "A workspace of Slack, through an app's bot.",
        fields: &[
            optional(
                "team",
                "The workspace's id (`T…`), if the token must be of that one.",
                FieldValues::Text,
            ),
            optional("default_channel", "Channel that messages go to, by its id.", FieldValues::Text),
            optional("base_url", "Address of the API, `https://slack.com` if not said.", FieldValues::Url),
        ],
        secrets: &[
            secret("bot_token", "The app's bot token (`xoxb-…`)."),
            webhook_secret("signing_secret", "The app's signing secret, for what Slack sends here."),
        ],
        verified_by: "`auth.test`, whose team must be the one that is named, and `conversations.info` where a channel is named.",
        tested: Tested::Double("Slack Web API"),
        revoked_by: Some("`auth.revoke`"),
        inbound: Some(Inbound {
            secret: "signing_secret",
            signed_by: "`X-Slack-Signature`, HMAC-SHA256 with a time",
        }),
        ..PLAIN
    },
    Kind {
        name: "sonarqube",
        title: "SonarQube",
        summary: "A SonarQube Server or SonarQube Cloud.",
        fields: &[
            required("url", "Address, such as `https://sonarcloud.io`.", FieldValues::Url),
            optional("organization", "Key of the organisation, on SonarQube Cloud.", FieldValues::Text),
            optional("project", "Key of a project that must be readable.", FieldValues::Text),
            CA_CERTIFICATE,
        ],
        secrets: &[
            secret("token", "User token."),
            webhook_secret("webhook_secret", "Secret of the webhooks that SonarQube sends here."),
        ],
        verified_by: "`GET /api/authentication/validate`, which must say that the login is valid, and the organisation and the project where they are named.",
        tested: Tested::Double("SonarQube Web API"),
        inbound: Some(Inbound {
            secret: "webhook_secret",
            signed_by: "`X-Sonar-Webhook-HMAC-SHA256`, HMAC-SHA256",
        }),
        ..PLAIN
    },
    Kind {
        name: "vault",
        title: "Vault or OpenBao",
        summary: "A HashiCorp Vault or an OpenBao outside the platform.",
        fields: &[
            required("url", "Address, such as `https://vault.acme.example:8200`.", FieldValues::Url),
            optional("namespace", "Namespace.", FieldValues::Text),
            optional("mount", "Where the JWT auth method is mounted, `jwt` if not said.", FieldValues::Text),
            optional(
                "role",
                "Role of the JWT auth method; required where there is no token.",
                FieldValues::Text,
            ),
            AUDIENCE,
            optional(
                "token_role",
                "Token role (`auth/token/roles/…`) that makes the next token. With it the token can be rotated without a new one being given. The role needs `orphan = true`, so that the new token outlives the old one, and policies that include the one that lets it make the next: `update` on `auth/token/create/<token_role>`.",
                FieldValues::Text,
            ),
            CA_CERTIFICATE,
        ],
        secrets: &[Secret {
            required: false,
            ..secret(
                "token",
                "Token. Without it the platform logs in with a JWT that it signs for the tenant.",
            )
        }],
        verified_by: "`GET auth/token/lookup-self`, which tells when the token expires; without a token after a login at the JWT auth method.",
        tested: Tested::Real("OpenBao 2.7.2"),
        keyless: Some(Keyless { audience: Some("integraci") }),
        revoked_by: Some("`POST auth/token/revoke-self`"),
        minted_by: Some("`POST auth/token/create/<token_role>`, where `token_role` is set"),
        ..PLAIN
    },
    Kind {
        name: "webhook",
        title: "Webhook",
        summary: "A signed HTTP callback.",
        fields: &[
            required("url", "Where events are sent by POST.", FieldValues::Url),
            required("events", "Which events are sent.", FieldValues::Words(WEBHOOK_EVENTS)),
            CA_CERTIFICATE,
        ],
        secrets: &[Secret {
            min_bytes: 16,
            format: SecretFormat::WebhookKey,
            ..secret(
                "hmac_key",
                "Key of the HMAC-SHA256 signature (Standard Webhooks): the key itself, or `whsec_` and its base64.",
            )
        }],
        verified_by: "A signed `integraci.ping` event that the receiver answers with a 2xx status.",
        tested: Tested::Double("Standard Webhooks 1.0.0"),
        ..PLAIN
    },
];
