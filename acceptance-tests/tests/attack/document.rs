//! The API's own description, as the server serves it, made into requests: one for each method of each
//! path, for each query parameter, and for each optional member of a body. Bodies are made from their
//! schemas; what a schema cannot say (which words a kind of connector takes) is in one table here, and
//! a member that neither can fill is an error: nothing is left out in silence.

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Map, Value, json};

use crate::target::Target;

/// The day of which the target has a statement.
pub(crate) const STATEMENT_DAY: &str = "2026-01-31";

/// Whose object a path's id is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// The caller's own.
    Own,
    /// The target's.
    Theirs,
}

/// A request that the description allows, ids left open.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    pub(crate) method: String,
    /// The path's template.
    pub(crate) path: String,
    /// Which ids of the path are whose, in the order of the path.
    pub(crate) whose: Vec<Whose>,
    /// The statuses with which it succeeds.
    pub(crate) successes: Vec<u16>,
    /// Whether it answers with a page of what the caller can see.
    pub(crate) is_list: bool,
    query: Option<String>,
    members: Vec<String>,
    parameters: Vec<Parameter>,
    body: Option<Value>,
    schemas: Value,
}

/// A request ready to be sent.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Call {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) body: Option<Value>,
}

#[derive(Debug, Clone)]
struct Parameter {
    name: String,
    /// What its ids begin with, or the only word that it takes.
    schema: Value,
    is_in_path: bool,
    /// Nothing of the sort is asked without it.
    is_required: bool,
}

/// Every operation of the description.
///
/// # Errors
/// When the document is not one, or says something that this does not understand.
pub(crate) fn operations(document: &Value) -> Result<Vec<Operation>> {
    let mut all = Vec::new();
    let schemas = &document["components"]["schemas"];
    for (path, methods) in document["paths"].as_object().context("an OpenAPI document has paths")? {
        for (method, described) in methods.as_object().context("a path has methods")? {
            if ["get", "put", "post", "patch", "delete"].contains(&method.as_str()) {
                let route = Route { method, path, described, schemas };
                all.extend(route.operations().with_context(|| format!("{method} {path}"))?);
            }
        }
    }
    Ok(all)
}

/// One method of one path.
struct Route<'a> {
    method: &'a str,
    path: &'a str,
    described: &'a Value,
    schemas: &'a Value,
}

impl Route<'_> {
    fn operations(&self) -> Result<Vec<Operation>> {
        let parameters = self.parameters()?;
        let successes = self.described["responses"].as_object().context("it has responses")?;
        let success =
            successes.iter().find(|(status, _)| status.starts_with('2')).context("it can succeed")?;
        let answer = resolve(self.schemas, &success.1["content"]["application/json"]["schema"]);
        let body = &self.described["requestBody"]["content"]["application/json"]["schema"];
        let plain = Operation {
            method: self.method.to_uppercase(),
            path: self.path.to_owned(),
            whose: Vec::new(),
            successes: successes.keys().filter_map(|it| it.parse().ok()).filter(|it| *it < 300).collect(),
            is_list: !answer["properties"]["items"].is_null(),
            query: None,
            members: self.required(body),
            body: (!body.is_null()).then(|| body.clone()),
            schemas: self.schemas.clone(),
            parameters,
        };
        let mut variants = vec![plain.clone()];
        for parameter in plain.parameters.iter().filter(|it| !it.is_required) {
            variants.push(Operation { query: Some(parameter.name.clone()), ..plain.clone() });
        }
        let members = resolve(self.schemas, body)["properties"].as_object();
        for optional in members.into_iter().flat_map(Map::keys).filter(|it| !plain.members.contains(it)) {
            let mut members = plain.members.clone();
            members.push(optional.clone());
            variants.push(Operation { members, ..plain.clone() });
        }
        // Every way to mix what is the caller's with what is not, but for asking only for its own.
        let ids =
            plain.parameters.iter().filter(|it| it.is_in_path && it.prefix(self.schemas).is_some()).count();
        let mixes = (0..1_usize << ids).filter(|mix| ids == 0 || *mix > 0).map(|mix| {
            let whose = |n: usize| if mix & (1 << n) == 0 { Whose::Own } else { Whose::Theirs };
            (0..ids).map(whose).collect::<Vec<_>>()
        });
        let mixed = |whose: Vec<Whose>| {
            variants
                .iter()
                .map(move |it| Operation { whose: whose.clone(), ..it.clone() })
                .collect::<Vec<_>>()
        };
        mixes.flat_map(mixed).flat_map(|it| it.words()).collect()
    }

    /// The members that a body must have: those that its schema says, and those without which there can be no
    /// connector of the kind that the target has, whose far side makes no secrets.
    fn required(&self, body: &Value) -> Vec<String> {
        let mut members = required(resolve(self.schemas, body));
        let last = self.path.rsplit('/').next().unwrap_or_default();
        members.extend(match last {
            "connectors" => vec!["secrets".to_owned()],
            "rotations" => vec!["overlap_s".to_owned(), "secrets".to_owned()],
            _ => Vec::new(),
        });
        members
    }

    fn parameters(&self) -> Result<Vec<Parameter>> {
        let described = self.described["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
        let parameters = described.iter().filter(|it| it["in"] != "header").map(|it| {
            Ok(Parameter {
                name: it["name"].as_str().context("a parameter has a name")?.to_owned(),
                schema: resolve(self.schemas, &it["schema"]).clone(),
                is_in_path: it["in"] == "path",
                is_required: it["required"] == true,
            })
        });
        parameters.collect()
    }
}

impl Parameter {
    /// What its ids begin with, if it is an id.
    fn prefix(&self, schemas: &Value) -> Option<String> {
        id_prefix(resolve(schemas, &self.schema))
    }
}

impl Operation {
    /// The same for every word that a parameter of the path can be.
    fn words(self) -> Vec<Result<Self>> {
        let open = self.parameters.iter().find(|it| it.is_in_path && it.schema["enum"].is_array());
        let Some(open) = open else { return vec![Ok(self)] };
        let (name, words) = (open.name.clone(), open.schema["enum"].as_array().cloned().unwrap_or_default());
        let with = |word: Value| -> Result<Vec<Result<Self>>> {
            let word = word.as_str().context("the words of a path are texts")?.to_owned();
            let path = self.path.replace(&format!("{{{name}}}"), &word);
            let parameters = self.parameters.iter().filter(|it| it.name != name).cloned().collect();
            Ok(Self { path, parameters, ..self.clone() }.words())
        };
        words.into_iter().flat_map(|word| with(word).unwrap_or_else(|error| vec![Err(error)])).collect()
    }

    /// What it is, for people.
    pub(crate) fn name(&self) -> String {
        let mut name = format!("{} {}", self.method, self.path);
        if let Some(query) = &self.query {
            name += &format!("?{query}");
        }
        if self.body.is_some() {
            name += &format!(" with {}", self.members.join(", "));
        }
        if self.is_mixed() {
            name += &format!(", ids {:?}", self.whose);
        }
        name
    }

    /// Whether some ids of its path are the caller's own and others are not.
    pub(crate) fn is_mixed(&self) -> bool {
        self.whose.contains(&Whose::Own)
    }

    /// Whether what it asks for is a new tenant.
    pub(crate) fn makes_tenant(&self) -> bool {
        self.members.iter().any(|it| it == "slug")
    }

    /// The request, by a caller whose own things are `own`, at `theirs`.
    ///
    /// # Errors
    /// When a part of it can be filled neither by its schema nor by the table.
    pub(crate) fn call(&self, own: &Target, theirs: &Target) -> Result<Call> {
        let mut path = self.path.clone();
        let mut whose = self.whose.iter();
        for parameter in self.parameters.iter().filter(|it| it.is_in_path) {
            let value = match parameter.prefix(&self.schemas) {
                Some(prefix) => {
                    let target = if whose.next() == Some(&Whose::Own) { own } else { theirs };
                    target.id(&prefix, &self.path)?.to_owned()
                }
                None if parameter.name == "day" => STATEMENT_DAY.to_owned(),
                None => bail!("a parameter of a path is an id, a day or a word: {}", parameter.name),
            };
            path = path.replace(&format!("{{{}}}", parameter.name), &value);
        }
        ensure!(!path.contains('{'), "a parameter of {path} is not described");
        let is_asked =
            |it: &&Parameter| !it.is_in_path && (it.is_required || self.query.as_ref() == Some(&it.name));
        for parameter in self.parameters.iter().filter(is_asked) {
            let value = self.value(&parameter.name, &parameter.schema, theirs)?;
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let text = percent_encoding::utf8_percent_encode(&text, percent_encoding::NON_ALPHANUMERIC);
            let separator = if path.contains('?') { '&' } else { '?' };
            path += &format!("{separator}{}={text}", parameter.name);
        }
        let body = match &self.body {
            None => None,
            Some(schema) => {
                let properties = &resolve(&self.schemas, schema)["properties"];
                let mut body = Map::new();
                for member in &self.members {
                    body.insert(member.clone(), self.value(member, &properties[member], theirs)?);
                }
                Some(Value::Object(body))
            }
        };
        Ok(Call { method: self.method.clone(), path, body })
    }

    /// A value of a schema that the server takes from who may send it.
    fn value(&self, name: &str, schema: &Value, theirs: &Target) -> Result<Value> {
        if name == "kind" && self.path.ends_with("/oidc-trust") {
            return Ok(json!("aws"));
        }
        if let Some(value) = known(name, theirs)? {
            return Ok(value);
        }
        let schema = resolve(&self.schemas, schema);
        if let Some(prefix) = id_prefix(schema) {
            return Ok(json!(theirs.id(&prefix, &self.path)?));
        }
        if let Some(word) = schema["enum"].as_array().and_then(|it| it.first()) {
            return Ok(word.clone());
        }
        let kind = schema["type"].as_str().or_else(|| {
            let kinds = schema["type"].as_array().into_iter().flatten();
            kinds.filter_map(Value::as_str).find(|kind| *kind != "null")
        });
        Ok(match kind {
            Some("integer") => schema["minimum"].as_i64().map_or(json!(1), |least| json!(least.max(1))),
            Some("boolean") => json!(false),
            Some("array") => json!([self.value(name, &schema["items"], theirs)?]),
            Some("string") if schema["format"] == "date-time" => in_hours(1)?,
            _ => bail!("nobody knows what `{name}` is to be: {schema}"),
        })
    }
}

/// What the schemas cannot say: values that the server takes, by the name of the member or parameter.
fn known(name: &str, theirs: &Target) -> Result<Option<Value>> {
    Ok(Some(match name {
        "slug" => json!(theirs.slug),
        "name" | "connector" => json!(theirs.name),
        "plan" => json!("team"),
        "owner_email" => json!("it@attack.example"),
        "labels" => json!({ "team": "red" }),
        "label" => json!("team=red"),
        "kind" => json!("webhook"),
        "config" => json!({ "url": theirs.webhook.url, "events": ["tenant.updated"] }),
        "secrets" => json!({ "hmac_key": theirs.webhook.key }),
        "limits" => json!({ "connectors": 10 }),
        "cursor" => json!(theirs.cursor()),
        "wait_s" | "seen" => json!(0),
        "ttl_s" => json!(600),
        // The sooner the old secret is gone, the sooner there can be another rotation.
        "overlap_s" => json!(0),
        // The kind of connector that the target has makes no secrets.
        "rotate_every_days" => Value::Null,
        "from" | "to" => in_hours(-1)?,
        "dimension" => json!("deploys_per_month"),
        "events" => json!([{ "source": "attack", "id": "1", "type": "deploy", "at": in_hours(-1)? }]),
        _ => return Ok(None),
    }))
}

fn in_hours(hours: i64) -> Result<Value> {
    let then = time::OffsetDateTime::now_utc() + time::Duration::hours(hours);
    Ok(json!(then.format(&time::format_description::well_known::Rfc3339)?))
}

fn required(schema: &Value) -> Vec<String> {
    let names = schema["required"].as_array().into_iter().flatten();
    names.filter_map(|it| it.as_str().map(str::to_owned)).collect()
}

/// The schema itself: behind its reference, and without the choice to be null.
fn resolve<'a>(schemas: &'a Value, schema: &'a Value) -> &'a Value {
    if let Some(reference) = schema["$ref"].as_str() {
        return resolve(schemas, &schemas[reference.rsplit('/').next().unwrap_or_default()]);
    }
    match schema["oneOf"].as_array().and_then(|it| it.iter().find(|it| it["type"] != "null")) {
        Some(choice) => resolve(schemas, choice),
        None => schema,
    }
}

/// What ids of a schema begin with, such as `ten`.
fn id_prefix(schema: &Value) -> Option<String> {
    let pattern = schema["pattern"].as_str()?;
    let (prefix, rest) = pattern.strip_prefix('^')?.split_once('_')?;
    (rest == "[0-9a-f]{32}$").then(|| prefix.to_owned())
}
