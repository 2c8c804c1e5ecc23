//! Between the protocol's messages and our types.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use crate::value::{Dynamic, PathStep, Type, ValueError};
use crate::wire::tfplugin6 as pb;
use crate::{Diagnostic, Diagnostics, Path, Severity};

/// A value that core has sent. One that is left out is null.
pub(super) fn decode(value: Option<&pb::DynamicValue>, ty: &Type) -> Result<Dynamic, Diagnostic> {
    let decoded = match value {
        Some(value) if !value.msgpack.is_empty() => Dynamic::from_msgpack(&value.msgpack, ty),
        Some(value) if !value.json.is_empty() => Dynamic::from_json(&value.json, ty),
        _ => Ok(Dynamic::Null),
    };
    decoded.map_err(|error| {
        Diagnostic::error("A value from Terraform cannot be read")
            .detail(format!("It does not fit the schema of this provider: {error}."))
            .at(&error)
    })
}

/// Whether core has sent no value, which needs no decoding.
pub(super) fn is_null(value: Option<&pb::DynamicValue>) -> bool {
    const MSGPACK_NIL: &[u8] = &[0xc0];
    value.is_none_or(|value| {
        matches!((&*value.msgpack, &*value.json), (MSGPACK_NIL, _) | (b"", b"" | b"null"))
    })
}

/// A value for core.
pub(super) fn encode(value: &Dynamic, ty: &Type) -> Result<pb::DynamicValue, Diagnostic> {
    match value.to_msgpack(ty) {
        Ok(msgpack) => Ok(pb::DynamicValue { msgpack: msgpack.into(), json: Bytes::new() }),
        Err(error) => Err(misfit(&error)),
    }
}

fn misfit(error: &ValueError) -> Diagnostic {
    Diagnostic::error("The provider made a value that does not fit its schema")
        .detail(format!("This is a fault of the provider. {error}."))
        .at(error)
}

/// As [`encode`], with a fault told instead of a value.
pub(super) fn encode_or_tell(
    value: &Dynamic,
    ty: &Type,
    diags: &mut Diagnostics,
) -> Option<pb::DynamicValue> {
    encode(value, ty).map_err(|fault| diags.push(fault)).ok()
}

pub(super) fn diagnostics(diagnostics: Diagnostics) -> Vec<pb::Diagnostic> {
    diagnostics.into_iter().map(|diagnostic| one(&diagnostic)).collect()
}

fn one(diagnostic: &Diagnostic) -> pb::Diagnostic {
    let severity = match diagnostic.severity() {
        Severity::Error => pb::diagnostic::Severity::Error,
        Severity::Warning => pb::diagnostic::Severity::Warning,
    };
    pb::Diagnostic {
        severity: severity.into(),
        summary: diagnostic.summary().to_owned(),
        detail: diagnostic.detail_text().to_owned(),
        attribute: diagnostic.path().filter(|path| !path.is_empty()).map(path),
    }
}

pub(super) fn path(path: &Path) -> pb::AttributePath {
    use pb::attribute_path::Step;
    use pb::attribute_path::step::Selector;
    let step = |step: &PathStep| Step {
        selector: Some(match step {
            PathStep::Attribute(name) => Selector::AttributeName(name.to_string()),
            PathStep::Key(key) => Selector::ElementKeyString(key.to_string()),
            PathStep::Index(index) => Selector::ElementKeyInt(i64::try_from(*index).unwrap_or(i64::MAX)),
        }),
    };
    pb::AttributePath { steps: path.steps().iter().map(step).collect() }
}

pub(super) fn timestamp(time: SystemTime) -> pb::Timestamp {
    // Before 1970 there is nothing to renew: now is near enough.
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    pb::Timestamp {
        seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(since.subsec_nanos()).unwrap_or(0),
    }
}
