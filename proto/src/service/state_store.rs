//! State stores: offered by no provider of this layer. GetProviderSchema lists none, so core does
//! not ask; one that does gets an error it can show.

use super::convert;
use crate::Diagnostic;
use crate::wire::tfplugin6 as pb;

pub(super) fn none() -> Vec<pb::Diagnostic> {
    let none = Diagnostic::error("This provider has no state store");
    convert::diagnostics(none.into())
}
