//! From the JSON pointers of a problem to the attributes of a resource.

use tfplugin::Path;

/// The parts of a pointer (RFC 6901), unescaped: `/labels/a~1b` is `labels` and `a/b`.
pub(crate) fn parts(pointer: &str) -> Vec<String> {
    pointer.split('/').skip(1).map(|part| part.replace("~1", "/").replace("~0", "~")).collect()
}

/// Where most pointers point: an attribute of the same name, and perhaps a key of a map in it.
pub(crate) fn attribute_or_key(parts: &[String]) -> Option<Path> {
    match parts {
        [attribute] => Some(Path::root(attribute)),
        [attribute, key] => Some(Path::root(attribute).key(key)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_become_paths() {
        let path = |pointer: &str| attribute_or_key(&parts(pointer)).map(|path| path.to_string());
        assert_eq!(path("/slug").as_deref(), Some("slug"));
        assert_eq!(path("/labels/a~1b~0c").as_deref(), Some(r#"labels["a/b~c"]"#));
        assert_eq!(path(""), None);
        assert_eq!(path("/limits/connectors").as_deref(), Some(r#"limits["connectors"]"#));
    }
}
