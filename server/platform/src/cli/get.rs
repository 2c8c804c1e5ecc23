//! `local-platform get`: fills the cache.

use std::io::Write as _;
use std::str::FromStr;

use local_platform::{Cache, Error, Progress, System, terraform};

/// What can be got.
#[derive(Debug, Clone, Copy)]
pub(super) enum Item {
    System(System),
    Tofu,
    Terraform,
}

impl FromStr for Item {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        match name {
            "tofu" => Ok(Self::Tofu),
            "terraform" => Ok(Self::Terraform),
            system => system.parse().map(Self::System),
        }
    }
}

pub(super) async fn run(mut items: Vec<Item>) -> anyhow::Result<u8> {
    if items.is_empty() {
        items.extend(System::ALL.map(Item::System));
    }
    let cache = Cache::from_env()?;
    let progress = Progress::stderr();
    for item in items {
        let path = match item {
            Item::System(system) => cache.system(system, &progress).await?,
            Item::Tofu => cache.tofu(&progress).await?,
            Item::Terraform => terraform()?,
        };
        writeln!(std::io::stdout(), "{}", path.display())?;
    }
    Ok(0)
}
