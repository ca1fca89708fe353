//! `table!`: a TOML table described once, for whoever reads it and for whoever writes one.

use serde_json::{Map, Value as Json, json};

/// Declares a table: the struct, how it is read, and its schema. A key is optional (`key: T`), required
/// (`key: T = required`) or has a default, written as in TOML (`key: T = "10s"`). Doc comments become the schema's
/// descriptions and the reference's text. With `shorthand key`, a bare string stands for a table of that one key.
macro_rules! table {
    (
        $(#[doc = $doc:literal])*
        pub(crate) struct $name:ident $(shorthand $short:ident)? {
            $( $(#[doc = $key_doc:literal])* $key:ident : $type:ty $(= $default:tt)? ,)*
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug)]
        pub(crate) struct $name {
            $( $(#[doc = $key_doc])* pub(crate) $key: $crate::config::table::key_type!($type $(, $default)?), )*
        }

        impl $name {
            /// Every key that may stand in this table.
            pub(crate) const KEYS: &[&str] = &[$(stringify!($key)),*];
        }

        impl $crate::config::read::Read for $name {
            fn read(
                value: &$crate::config::read::Value<'_>,
                reader: &mut $crate::config::read::Reader<'_>,
            ) -> Option<Self> {
                $(
                    let spelled_out = $crate::config::read::spell_out(value, stringify!($short));
                    let value = spelled_out.as_ref().unwrap_or(value);
                )?
                #[allow(unused_mut, unused_assignments, reason = "only a table with a shorthand sets it")]
                let mut expected = "a table";
                $( expected = concat!("a table, or a string for its `", stringify!($short), "`"); )?
                let table = reader.table(value, expected)?;
                reader.refuse_unknown(table, Self::KEYS, $crate::config::file::ConfigFile::KEYS);
                Some(Self {
                    $( $key: $crate::config::table::read_key!(reader, table, value, $key $(, $default)?), )*
                })
            }

            fn schema(definitions: &mut $crate::config::schema::Definitions) -> serde_json::Value {
                definitions.refer(stringify!($name), |definitions| {
                    let keys = [$( $crate::config::table::KeyDescription {
                        name: stringify!($key),
                        text: concat!("", $($key_doc, "\n"),*),
                        presence: $crate::config::table::presence!($($default)?),
                        schema: <$type as $crate::config::read::Read>::schema(definitions),
                    } ),*];
                    let text = concat!("", $($doc, "\n"),*);
                    #[allow(unused_mut, unused_assignments, reason = "only a table with a shorthand sets it")]
                    let mut short = None;
                    $( short = Some(stringify!($short)); )?
                    $crate::config::table::describe(text, short, keys)
                })
            }
        }
    };
}

macro_rules! key_type {
    ($type:ty) => { Option<$crate::config::read::At<$type>> };
    ($type:ty, required) => { Option<$crate::config::read::At<$type>> };
    ($type:ty, $default:tt) => { $crate::config::read::At<$type> };
}

macro_rules! read_key {
    ($reader:ident, $table:ident, $owner:ident, $key:ident) => {
        $reader.optional($table, stringify!($key))
    };
    ($reader:ident, $table:ident, $owner:ident, $key:ident, required) => {
        $reader.required($table, stringify!($key), $owner)
    };
    ($reader:ident, $table:ident, $owner:ident, $key:ident, $default:tt) => {
        $reader.or_default($table, stringify!($key), stringify!($default), $owner)?
    };
}

macro_rules! presence {
    () => {
        $crate::config::table::Presence::Optional
    };
    (required) => {
        $crate::config::table::Presence::Required
    };
    ($default:tt) => {
        $crate::config::table::Presence::Default(serde_json::json!($default))
    };
}

pub(crate) use {key_type, presence, read_key, table};

/// A key for the schema.
pub(crate) struct KeyDescription {
    pub(crate) name: &'static str,
    pub(crate) text: &'static str,
    pub(crate) presence: Presence,
    pub(crate) schema: Json,
}

/// Whether a key must be there.
pub(crate) enum Presence {
    Optional,
    Required,
    Default(Json),
}

/// The schema of a table.
pub(crate) fn describe<const N: usize>(text: &str, short: Option<&str>, keys: [KeyDescription; N]) -> Json {
    let mut properties = Map::new();
    let mut required = Vec::new();
    let mut short_schema = None;
    for key in keys {
        let mut property = Map::from_iter([("description".to_owned(), json!(unindent(key.text)))]);
        if short == Some(key.name) {
            short_schema = Some(key.schema.clone());
        }
        if let Json::Object(schema) = key.schema {
            property.extend(schema.into_iter().filter(|(k, _)| k != "description"));
        }
        match key.presence {
            Presence::Optional => {}
            Presence::Required => required.push(key.name),
            Presence::Default(default) => {
                property.insert("default".to_owned(), default);
            }
        }
        properties.insert(key.name.to_owned(), Json::Object(property));
    }
    let mut table = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    if !required.is_empty() {
        table["required"] = json!(required);
    }
    match short_schema {
        Some(short) => json!({ "description": unindent(text), "anyOf": [short, table] }),
        None => {
            let mut described = Map::from_iter([("description".to_owned(), json!(unindent(text)))]);
            if let Json::Object(table) = table {
                described.extend(table);
            }
            Json::Object(described)
        }
    }
}

/// Doc comment lines without the blank that follows `///`.
fn unindent(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
    lines.join("\n").trim().to_owned()
}
