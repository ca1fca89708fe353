//! The JSON Schema of a configuration file, for editors and for the reference.

use serde_json::{Map, Value as Json, json};

use super::file::ConfigFile;
use super::read::Read;

/// The schema (draft 2020-12), indented, with a newline at its end. Every key has a description, and its default if it
/// has one.
pub fn schema() -> String {
    format!("{:#}\n", json_schema())
}

/// [`schema`] as a value.
pub(crate) fn json_schema() -> Json {
    let mut definitions = Definitions::default();
    let root = ConfigFile::schema(&mut definitions);
    let root_name = name_of(&root).unwrap_or_default().to_owned();
    let mut document = Map::from_iter([
        ("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema")),
        ("title".to_owned(), json!("Tidegate configuration")),
    ]);
    if let Some(Json::Object(root)) = definitions.0.remove(&root_name) {
        document.extend(root);
    }
    document.insert("$defs".to_owned(), Json::Object(definitions.0));
    Json::Object(document)
}

/// The name that a `$ref` leads to.
pub(crate) fn name_of(schema: &Json) -> Option<&str> {
    schema.get("$ref")?.as_str()?.strip_prefix("#/$defs/")
}

/// The first example of how a `T` is written, if there is one.
pub(crate) fn example<T: Read>() -> Option<String> {
    let mut definitions = Definitions::default();
    let schema = T::schema(&mut definitions);
    first_example(&schema, &definitions).map(Json::to_string)
}

fn first_example<'j>(schema: &'j Json, definitions: &'j Definitions) -> Option<&'j Json> {
    if let Some(name) = name_of(schema) {
        return first_example(definitions.0.get(name)?, definitions);
    }
    let own = schema.get("examples").or_else(|| schema.get("enum")).and_then(|list| list.get(0));
    own.or_else(|| first_example(schema.get("anyOf")?.get(0)?, definitions))
}

/// Schemas that are named and referred to.
#[derive(Default)]
pub(crate) struct Definitions(Map<String, Json>);

impl Definitions {
    /// A reference to the schema of this name, which is made the first time.
    pub(crate) fn refer(&mut self, name: &str, make: impl FnOnce(&mut Self) -> Json) -> Json {
        if !self.0.contains_key(name) {
            self.0.insert(name.to_owned(), Json::Null);
            let schema = make(self);
            self.0.insert(name.to_owned(), schema);
        }
        json!({ "$ref": format!("#/$defs/{name}") })
    }
}
