//! The attestation against real realms: green, and red when a realm is loosened on purpose.

use integraci_api::attestations::{Check, CheckKind};

use super::*;

fn failed(checks: &[Check]) -> Vec<&str> {
    checks.iter().filter(|check| !check.passed).map(|check| check.check.as_str()).collect()
}

#[tokio::test]
async fn an_attestation_is_green_until_the_realm_is_loosened_and_again_when_it_is_mended() {
    let (realms, own, canary) = (Realms::new().await, tenant("own"), tenant("bird"));
    let (system, name) = (realms.system().await, &own.keycloak_realm);
    let (wanted, bird) = (wanted(&own), wanted(&canary));
    ensured(&system, &wanted).await;
    ensured(&system, &bird).await;

    let checks = system.attest(&wanted, &bird).await;
    assert_eq!(failed(&checks), [""; 0], "{checks:#?}");
    assert_eq!(checks.iter().filter(|check| check.kind == CheckKind::Control).count(), 7);
    assert!(checks.iter().all(|check| check.system == System::Keycloak));

    realms.audience_loosen(name, "workload").await;
    let checks = system.attest(&wanted, &bird).await;
    assert_eq!(
        failed(&checks),
        ["token_is_for_own_api_alone", "clients_give_tokens_for_own_api_alone"],
        "{checks:#?}"
    );
    ensured(&system, &wanted).await;

    realms.audience_loosen(name, &format!("{name}-api")).await;
    let checks = system.attest(&wanted, &bird).await;
    assert_eq!(failed(&checks), ["clients_give_tokens_for_own_api_alone"], "{checks:#?}");
    ensured(&system, &wanted).await;

    realms.workload_promote(name).await;
    let checks = system.attest(&wanted, &bird).await;
    assert_eq!(failed(&checks), ["clients_give_tokens_for_own_api_alone"], "{checks:#?}");
    ensured(&system, &wanted).await;
    assert_eq!(failed(&system.attest(&wanted, &bird).await), [""; 0]);

    // What is not there cannot be tried, and is not left out.
    removed(&system, &canary).await;
    let without = system.attest(&wanted, &bird).await;
    assert_eq!((without.len(), failed(&without).len()), (checks.len(), checks.len()));
    removed(&system, &own).await;
}

#[tokio::test]
async fn a_system_that_is_away_passes_nothing() {
    let realms = Realms::new().await;
    let away = KeycloakConfig { url: NOWHERE.parse().unwrap(), ..realms.cell().system };
    let system = realms.with(&away);
    let (own, canary) = (wanted(&tenant("own")), wanted(&tenant("bird")));
    let checks = system.attest(&own, &canary).await;
    assert_eq!((checks.len(), failed(&checks).len()), (15, 15));
}
