//! Logs, as core takes them: a line of JSON each, on stderr, and none unless TF_LOG asks.
//!
//! Core parses every line and passes it on by its own level. `@message` has to be a text: anything
//! else ends the CLI with a panic.

use std::fmt::{self, Write as _};
use std::io::Write as _;

use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::macros::format_description;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;

/// The target of what this crate logs.
pub(super) const TARGET: &str = "tfplugin";

/// go-plugin reads this much of a line, and takes the rest for another.
const MAX_LINE_BYTES: usize = 64 << 10;

/// Writes logs from here on, if TF_LOG or TF_LOG_PROVIDER asks for any. `provider` is the path of
/// the provider's type, and so begins with the name of its crate.
pub(super) fn init(provider: &'static str) {
    let level = level(|name| std::env::var(name).ok());
    // Nothing installed costs nothing: every `tracing` call is then one load and a branch.
    if level == LevelFilter::OFF {
        return;
    }
    let own = provider.split("::").next().unwrap_or(provider);
    let subscriber = tracing_subscriber::registry().with(CoreLog { level, own });
    // Fails if the provider has installed one of its own, which is its right.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// The level asked for. TF_LOG_PROVIDER is about providers alone, and so comes first.
fn level(var: impl Fn(&str) -> Option<String>) -> LevelFilter {
    let asked = ["TF_LOG_PROVIDER", "TF_LOG"].into_iter().filter_map(var).find(|level| !level.is_empty());
    match asked.map(|level| level.to_ascii_uppercase()).as_deref() {
        None | Some("OFF") => LevelFilter::OFF,
        Some("ERROR") => LevelFilter::ERROR,
        Some("WARN") => LevelFilter::WARN,
        Some("INFO") => LevelFilter::INFO,
        Some("DEBUG") => LevelFilter::DEBUG,
        // TRACE, and JSON, which is TRACE in another form; core takes what it does not know for
        // TRACE too.
        Some(_) => LevelFilter::TRACE,
    }
}

/// Writes what this crate and the provider's own log. Of the libraries under them only warnings:
/// at TRACE they would show every frame that is sent.
struct CoreLog {
    level: LevelFilter,
    own: &'static str,
}

impl CoreLog {
    fn allows(&self, metadata: &Metadata<'_>) -> bool {
        let origin = metadata.target().split("::").next().unwrap_or_default();
        let most = if origin == TARGET || origin == self.own {
            self.level
        } else {
            self.level.min(LevelFilter::WARN)
        };
        *metadata.level() <= most
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for CoreLog {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.allows(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level)
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let line = line(event, OffsetDateTime::now_utc());
        // One write for the whole line, so that lines of several threads do not mix. If stderr is
        // gone, so is core.
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }
}

fn line(event: &Event<'_>, now: OffsetDateTime) -> String {
    let mut fields = Fields::default();
    event.record(&mut fields);
    let metadata = event.metadata();
    let level = match *metadata.level() {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    };
    let timestamp = now
        .format(format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z"))
        .unwrap_or_default();
    let mut object = fields.others;
    object.insert("@level".to_owned(), level.into());
    object.insert("@message".to_owned(), fields.message.into());
    object.insert("@module".to_owned(), metadata.target().into());
    object.insert("@timestamp".to_owned(), timestamp.into());
    bounded(object)
}

/// The line, or what fits of its message.
fn bounded(mut object: Map<String, Value>) -> String {
    let mut line = Value::Object(object.clone()).to_string();
    if line.len() >= MAX_LINE_BYTES {
        object.retain(|name, _| name.starts_with('@'));
        if let Some(Value::String(message)) = object.get_mut("@message") {
            // A character takes up to six bytes once escaped.
            message.truncate(message.floor_char_boundary(MAX_LINE_BYTES / 8));
            message.push_str(" … (cut)");
        }
        line = Value::Object(object).to_string();
    }
    line.push('\n');
    line
}

#[derive(Default)]
struct Fields {
    message: String,
    others: Map<String, Value>,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            // A `String` can always be written to.
            let _ = write!(self.message, "{value:?}");
        } else {
            self.others.insert(field.name().to_owned(), format!("{value:?}").into());
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message.push_str(value);
        } else {
            self.others.insert(field.name().to_owned(), value.into());
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.others.insert(field.name().to_owned(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.others.insert(field.name().to_owned(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.others.insert(field.name().to_owned(), value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(vars: &[(&str, &str)]) -> LevelFilter {
        level(|name| vars.iter().find(|(own, _)| *own == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn nothing_is_written_unless_asked_for() {
        assert_eq!(asked(&[]), LevelFilter::OFF);
        assert_eq!(asked(&[("TF_LOG", "")]), LevelFilter::OFF);
        assert_eq!(asked(&[("TF_LOG", "off")]), LevelFilter::OFF);
        assert_eq!(asked(&[("TF_LOG", "trace"), ("TF_LOG_PROVIDER", "OFF")]), LevelFilter::OFF);
    }

    #[test]
    fn the_providers_own_level_comes_first() {
        assert_eq!(asked(&[("TF_LOG", "info")]), LevelFilter::INFO);
        assert_eq!(asked(&[("TF_LOG", "JSON")]), LevelFilter::TRACE);
        assert_eq!(asked(&[("TF_LOG_PROVIDER", "debug"), ("TF_LOG", "error")]), LevelFilter::DEBUG);
    }

    #[test]
    fn a_long_line_is_cut_where_core_can_still_read_it() {
        let message = "\u{1}ü".repeat(MAX_LINE_BYTES);
        let object = Map::from_iter([
            ("@message".to_owned(), Value::from(message.clone())),
            ("other".to_owned(), Value::from(message)),
        ]);
        let line = bounded(object);
        assert!(line.len() < MAX_LINE_BYTES);
        let read: Map<String, Value> = serde_json::from_str(&line).expect("JSON");
        assert!(read["@message"].as_str().expect("a text").ends_with("(cut)"));
        assert!(!read.contains_key("other"));
    }
}
