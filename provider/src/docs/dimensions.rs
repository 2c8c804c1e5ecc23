//! The dimensions of `integraci_quota`, which its schema knows only as keys of a map: written from the catalogue.

use integraci_api::quotas::{DIMENSIONS, Unit};

use super::table;

/// Writes the section `Dimensions`.
pub(super) fn write(text: &mut String) {
    text.push_str("\n## Dimensions\n");
    let rows = DIMENSIONS.iter().map(|dimension| {
        let comes_in = match dimension.unit {
            Unit::Ones => "ones: `20`",
            Unit::Processors => "processors: `8`, `0.5`, `500m`",
            Unit::Bytes => "bytes: `2Gi`, `512Mi`, `10G`",
        };
        vec![
            format!("`{}`", dimension.name),
            dimension.description.to_owned(),
            comes_in.to_owned(),
            format!("`{}` to `{}`", dimension.write(dimension.min), dimension.write(dimension.max)),
            format!("`{}`", dimension.holds.enforced_by()),
        ]
    });
    table(text, &["dimension", "what is limited", "in", "from", "enforced by"], rows);
}
