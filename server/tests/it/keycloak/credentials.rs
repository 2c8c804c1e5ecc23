//! Leased credentials, used in a real realm.

use integraci_api::CredentialId;

use super::*;

fn credential() -> CredentialId {
    CredentialId::from_uuid(uuid::Uuid::now_v7())
}

#[tokio::test]
async fn a_lease_logs_in_until_it_is_revoked() {
    let (realms, tenant) = (Realms::new().await, tenant("lease"));
    let (system, name) = (realms.system().await, &tenant.keycloak_realm);
    let (wanted, credential) = (wanted(&tenant), credential());
    ensured(&system, &wanted).await;

    let hour = Duration::from_secs(3600);
    // An answer that was lost: the second call's secret is the one.
    system.credentials_issue(&wanted, credential, hour).await.unwrap();
    let issued = system.credentials_issue(&wanted, credential, hour).await.unwrap();
    let names: Vec<_> = issued.fields.keys().chain(issued.secrets.keys()).copied().collect();
    assert_eq!(names, ["client_id", "issuer_url", "token_url", "client_secret"]);
    assert_eq!(issued.fields["issuer_url"], format!("{}/realms/{name}", realms.url));
    assert!(issued.fields["token_url"].starts_with(&issued.fields["issuer_url"]));
    let (id, secret) = (issued.fields["client_id"].clone(), issued.secrets["client_secret"].clone());
    assert!(!format!("{issued:?}").contains(secret.expose()));
    assert_eq!(system.drift(&wanted).await.unwrap(), []);

    let log_in = async || realms.login(name, &id, secret.expose()).await;
    system.credentials_renew(&tenant, credential, None, hour).await.unwrap();
    let (status, answer) = log_in().await;
    assert_eq!(status, 200, "{answer}");
    let token = answer["access_token"].as_str().unwrap();
    assert_eq!(claims(token)["aud"], format!("{name}-api"));
    assert_eq!(realms.is_taken(name, token).await, (true, true));

    for _ in 0..2 {
        system.credentials_revoke(&tenant, credential, None).await.unwrap();
        assert_eq!(log_in().await.0, 401);
        assert_eq!(realms.is_taken(name, token).await, (false, false));
    }
    let gone = system.credentials_renew(&tenant, credential, None, hour).await.unwrap_err();
    assert_eq!(gone.class, ErrorClass::Gone);
    removed(&system, &tenant).await;
    system.credentials_revoke(&tenant, credential, None).await.unwrap();
}

#[tokio::test]
async fn a_suspended_tenant_gets_no_lease_and_those_it_has_are_refused_and_can_be_revoked() {
    let (realms, tenant) = (Realms::new().await, tenant("closed"));
    let (system, name) = (realms.system().await, &tenant.keycloak_realm);
    let (open, credential) = (wanted(&tenant), credential());
    let closed = Wanted { suspended: true, ..open.clone() };
    ensured(&system, &open).await;
    let minute = Duration::from_secs(60);
    let issued = system.credentials_issue(&open, credential, minute).await.unwrap();
    let (id, secret) = (&issued.fields["client_id"], issued.secrets["client_secret"].expose());

    ensured(&system, &closed).await;
    let refused = system.credentials_issue(&closed, self::credential(), minute).await.unwrap_err();
    assert_eq!(refused.class, ErrorClass::Refused);
    assert_eq!(realms.login(name, id, secret).await.0, 403);
    system.credentials_revoke(&tenant, credential, None).await.unwrap();
    ensured(&system, &open).await;
    assert_eq!(realms.login(name, id, secret).await.0, 401);
    removed(&system, &tenant).await;
}

#[tokio::test]
async fn a_lease_that_nobody_revoked_is_found_and_ended() {
    let (realms, tenant) = (Realms::new().await, tenant("late"));
    let system = realms.system().await;
    let wanted = wanted(&tenant);
    ensured(&system, &wanted).await;
    system.credentials_issue(&wanted, credential(), Duration::ZERO).await.unwrap();
    let lasting = system.credentials_issue(&wanted, credential(), Duration::from_secs(600)).await.unwrap();
    assert_eq!(system.drift(&wanted).await.unwrap(), [Drift("leased credentials are past their end")]);
    ensured(&system, &wanted).await;
    assert_eq!(system.drift(&wanted).await.unwrap(), []);
    let (id, secret) = (&lasting.fields["client_id"], lasting.secrets["client_secret"].expose());
    assert_eq!(realms.login(&tenant.keycloak_realm, id, secret).await.0, 200);
    removed(&system, &tenant).await;
}
