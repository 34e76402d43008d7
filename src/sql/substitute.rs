//! `${name}` and `${hivevar:name}` in scripts.

use std::collections::BTreeMap;

use crate::error::{Error, Kind, Result};

/// Replaces every `${name}` and `${hivevar:name}` of `text` by its value, everywhere: in strings and comments too, as Hive and
/// Spark do. Names compare as written. A name without a value is an error at its place; `$$`, `$1` and `$tag$` stay.
pub fn substitute(text: &str, variables: &BTreeMap<String, String>) -> Result<String> {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(start) = text[at..].find("${").map(|n| at + n) {
        out.push_str(&text[at..start]);
        let Some(end) = text[start..].find('}').map(|n| start + n) else {
            return Err(Error::new(Kind::Syntax, "`${` has no `}`").at(start));
        };
        let written = text[start + 2..end].trim();
        let name = written.strip_prefix("hivevar:").unwrap_or(written);
        let Some(value) = variables.get(name) else {
            let message = format!("variable `{name}` has no value");
            let error = Error::new(Kind::UndefinedObject, message).at(start);
            return Err(error.with_hint(format!("give it with --var {name}=…")));
        };
        out.push_str(value);
        at = end + 1;
    }
    out.push_str(&text[at..]);
    Ok(out)
}
