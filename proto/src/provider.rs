//! The provider itself: its configuration, and what is made of it.

use crate::{AttributeSet, Diagnostics};

/// A provider. The struct is its configuration block.
pub trait Provider: AttributeSet {
    /// What its resources work with: a client of the service, usually.
    type Api: Send + Sync + 'static;

    /// The name that all its resources begin with, without the underscore.
    const NAME: &'static str;

    /// Checks the configuration, of which anything may be unknown yet.
    fn validate(config: &Self, diags: &mut Diagnostics) {
        let _ = (config, diags);
    }

    /// Makes the API of the configuration.
    ///
    /// During a plan, values may be unknown that an apply will know. Without errors, `None` means
    /// "not yet": resources that call [`Cx::api`](crate::Cx::api) then get an error that says so,
    /// while those that need no API work on.
    fn configure(
        config: Self,
        client: &Client,
        diags: &mut Diagnostics,
    ) -> impl Future<Output = Option<Self::Api>> + Send;
}

/// Who is asking: the core that started the provider.
#[derive(Debug, Clone, Default)]
pub struct Client {
    pub(crate) version: String,
    pub(crate) deferral_allowed: bool,
}

impl Client {
    /// The version of Terraform or OpenTofu, such as `1.11.4`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Whether it could handle deferred changes.
    pub fn deferral_allowed(&self) -> bool {
        self.deferral_allowed
    }
}
