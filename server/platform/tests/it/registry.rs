//! The container registry.

use local_platform::{Platform, System};
use reqwest::{Client, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};

use crate::{started, stopped};

async fn login(platform: &Platform, user: &str, password: &SecretString) -> StatusCode {
    let registry = platform.endpoints().registry().unwrap();
    let request = Client::new().get(format!("{}/v2/", registry.url));
    request.basic_auth(user, Some(password.expose_secret())).send().await.unwrap().status()
}

#[tokio::test]
async fn users_come_and_change_while_it_runs_and_outlive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (SecretString::from("first"), SecretString::from("second"));
    let platform = started(dir.path(), System::Registry).await;
    let registry = platform.endpoints().registry().unwrap().clone();
    assert_eq!(login(&platform, &registry.username, &registry.password).await, 200);
    assert_eq!(login(&platform, "robot", &first).await, 401);
    registry.user_set("robot", &first).unwrap();
    assert_eq!(login(&platform, "robot", &first).await, 200);
    registry.user_set("robot", &second).unwrap();
    assert_eq!(login(&platform, "robot", &first).await, 401);
    assert_eq!(login(&platform, "robot", &second).await, 200);
    for (name, password) in [("a:b", "x".repeat(9)), ("", "x".repeat(9)), ("robot", "x".repeat(73))] {
        assert!(registry.user_set(name, &password.into()).is_err(), "{name}");
    }
    stopped(platform).await;

    let platform = started(dir.path(), System::Registry).await;
    assert_eq!(login(&platform, &registry.username, &registry.password).await, 200);
    assert_eq!(login(&platform, "robot", &second).await, 200);
    stopped(platform).await;
}
