//! The far ends of the tests' connectors: one webhook receiver and registry for all of them, in this
//! process, with names that no two tests share.

use std::sync::OnceLock;

use anyhow::Result;
use local_platform::far_side::FarSide;

use crate::api::new_slug;
use crate::runtime::block_on;

/// The far side of this test binary.
///
/// # Errors
/// When it cannot listen.
pub fn side() -> Result<&'static FarSide> {
    static SIDE: OnceLock<Result<FarSide, String>> = OnceLock::new();
    let side = SIDE.get_or_init(|| block_on(FarSide::start()).map_err(|error| error.to_string()));
    side.as_ref().map_err(|error| anyhow::anyhow!("the far side: {error}"))
}

/// A webhook receiver that takes messages signed with its key.
#[derive(Debug, Clone)]
pub struct Webhook {
    name: String,
    /// Where it is.
    pub url: String,
    /// The key that it takes.
    pub key: String,
}

/// A new webhook receiver.
///
/// # Errors
/// When the far side does not run.
pub fn webhook() -> Result<Webhook> {
    let name = new_slug("hook");
    let url = side()?.webhook_url(&name);
    let mut webhook = Webhook { name, url, key: String::new() };
    webhook.rekey()?;
    Ok(webhook)
}

impl Webhook {
    /// Makes it take a new key, and no longer the old one.
    ///
    /// # Errors
    /// When the far side does not run.
    pub fn rekey(&mut self) -> Result<()> {
        self.use_key(&new_secret())
    }

    /// Makes it take this key, and no longer the old one.
    ///
    /// # Errors
    /// When the far side does not run.
    pub fn use_key(&mut self, key: &str) -> Result<()> {
        key.clone_into(&mut self.key);
        side()?.webhook_key(&self.name, key.to_owned().into());
        Ok(())
    }

    /// Makes it take another key alone, without this one being changed: what is sent with it is refused.
    ///
    /// # Errors
    /// When the far side does not run.
    pub fn take_key(&self, key: &str) -> Result<()> {
        side()?.webhook_key(&self.name, key.to_owned().into());
        Ok(())
    }

    /// How many messages it has taken.
    ///
    /// # Errors
    /// When the far side does not run.
    pub fn taken(&self) -> Result<usize> {
        Ok(side()?.deliveries(&self.name).len())
    }
}

/// A registry account that may pull one repository.
#[derive(Debug, Clone)]
pub struct Registry {
    /// Where the registry is.
    pub url: String,
    /// The repository.
    pub repository: String,
    /// The account's name.
    pub username: String,
    /// The account's password.
    pub password: String,
}

/// A new registry account with a repository.
///
/// # Errors
/// When the far side does not run.
pub fn registry() -> Result<Registry> {
    let side = side()?;
    let registry = Registry {
        url: side.url().to_owned(),
        repository: format!("{}/app", new_slug("team")),
        username: new_slug("ci"),
        password: new_secret(),
    };
    side.registry_user(&registry.username, registry.password.clone().into());
    side.registry_repository(&registry.repository, vec!["1.0".to_owned()]);
    Ok(registry)
}

impl Registry {
    /// Gives the account a new password; the old one lets nobody in any more.
    ///
    /// # Errors
    /// When the far side does not run.
    pub fn repassword(&mut self) -> Result<()> {
        self.password = new_secret();
        side()?.registry_user(&self.username, self.password.clone().into());
        Ok(())
    }
}

/// A secret that is nowhere else in the world.
#[must_use]
pub fn new_secret() -> String {
    hex::encode(rand::random::<[u8; 20]>())
}
