//! Where files are: locations as text, and the object store behind each.
//!
//! A location is a scheme, a bucket and a key written *as they are*, as Hadoop reads them: nothing is percent-encoded, so
//! that a folder `city=a%3Ab` on disk is `file:///lake/city=a%3Ab/` here. Every store is taken from, or put into, the
//! `RuntimeEnv`, because DataFusion's scans find theirs there by URL.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::execution::object_store::ObjectStoreUrl;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};

use super::TableContext;
use crate::error::{Error, Kind, Result};

/// Schemes that all name S3.
const S3_SCHEMES: [&str; 3] = ["s3", "s3a", "s3n"];

/// A location taken apart: which store, and the key in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The bucket, or `None` for local files.
    pub bucket: Option<String>,
    /// Without slashes at either end.
    pub key: Path,
}

impl Location {
    /// Takes apart an absolute URL (`file:///a/b`, `s3://bucket/key`, any spelling of the S3 schemes) or a local path.
    pub fn parse(text: &str) -> Result<Location> {
        let (bucket, key) = match scheme_and_rest(text) {
            None if text.starts_with('/') => (None, text),
            None => {
                return Err(Error::new(Kind::InvalidParameterValue, format!("location `{text}` is not absolute")));
            }
            Some(("file", rest)) => (None, rest.strip_prefix("//").unwrap_or(rest)),
            Some((scheme, rest)) if S3_SCHEMES.contains(&scheme) => {
                let rest = rest.trim_start_matches('/');
                let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
                if bucket.is_empty() {
                    return Err(Error::new(Kind::InvalidParameterValue, format!("location `{text}` names no bucket")));
                }
                (Some(bucket.to_owned()), key)
            }
            Some((scheme, _)) => return Err(unknown_scheme(scheme, text)),
        };
        let key = Path::parse(collapse_slashes(key)).map_err(|e| {
            Error::new(Kind::InvalidParameterValue, format!("location `{text}` cannot be a path")).with_source(e)
        })?;
        Ok(Location { bucket, key })
    }

    /// The absolute URL of a key in the same store.
    pub fn url_of(&self, key: &Path) -> String {
        match &self.bucket {
            None => format!("file:///{key}"),
            Some(bucket) => format!("s3://{bucket}/{key}"),
        }
    }
}

/// `scheme:` and what follows it. A single letter is no scheme, and `k=v:w/x` has none either.
fn scheme_and_rest(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let is_scheme = scheme.len() > 1
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    (is_scheme && (rest.starts_with('/') || scheme == "warehouse")).then_some((scheme, rest))
}

fn unknown_scheme(scheme: &str, text: &str) -> Error {
    Error::new(
        Kind::FeatureNotSupported,
        format!("location `{text}` has the scheme `{scheme}`, which no storage here reads"),
    )
    .with_hint("file://, s3://, s3a:// and s3n:// are read; a path without a scheme is a local file")
}

fn collapse_slashes(path: &str) -> String {
    path.split('/').filter(|s| !s.is_empty()).collect::<Vec<_>>().join("/")
}

/// Makes the absolute URL that is kept in a table definition out of what a user wrote: a URL, a local path, or a path relative
/// to `base` (an absolute URL with a trailing slash; without one, the current directory). `s3a://` and `s3n://` become
/// `s3://`, so that one object has one name. Ends with a slash, unless it names a local file that exists.
pub fn absolute_url(text: &str, base: Option<&str>) -> Result<String> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Error::new(Kind::InvalidParameterValue, "the location is empty"));
    }
    let full = match scheme_and_rest(text) {
        Some(("warehouse", _)) => return Ok(with_slash(text)),
        Some(_) => text.to_owned(),
        None if text.starts_with('/') => format!("file://{text}"),
        None => match base {
            Some(base) => format!("{}{text}", with_slash(base)),
            None => format!("file://{}/{text}", std::env::current_dir()?.display()),
        },
    };
    if let Some(("warehouse", _)) = scheme_and_rest(&full) {
        return Ok(with_slash(&full));
    }
    let (head, path) = match scheme_and_rest(&full) {
        Some(("file", rest)) => ("file:///".to_owned(), rest.to_owned()),
        Some((scheme, rest)) if S3_SCHEMES.contains(&scheme) => {
            let rest = rest.trim_start_matches('/');
            let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
            (format!("s3://{bucket}/"), key.to_owned())
        }
        Some((scheme, _)) => return Err(unknown_scheme(scheme, text)),
        None => return Err(Error::new(Kind::InvalidParameterValue, format!("location `{text}` is not absolute"))),
    };
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                if segments.pop().is_none() {
                    return Err(Error::new(
                        Kind::InvalidParameterValue,
                        format!("location `{text}` leads above the root"),
                    ));
                }
            }
            name => segments.push(name),
        }
    }
    let url = format!("{head}{}", segments.join("/"));
    Location::parse(&url)?;
    let is_file = url.strip_prefix("file://").is_some_and(|path| std::path::Path::new(path).is_file());
    Ok(if is_file { url } else { with_slash(&url) })
}

pub(super) fn with_slash(url: &str) -> String {
    if url.ends_with('/') { url.to_owned() } else { format!("{url}/") }
}

/// The absolute URL of a table location: `warehouse:` stands for the warehouse.
pub fn resolve(location: &str, context: &TableContext) -> String {
    match location.strip_prefix("warehouse:") {
        Some(relative) => format!("{}{relative}", with_slash(&context.warehouse)),
        None => location.to_owned(),
    }
}

/// The absolute URL of a path that is relative to `root`, or absolute itself.
pub(super) fn join(root: &str, path: &str) -> String {
    if path.starts_with('/') || path.contains("://") { path.to_owned() } else { format!("{}{path}", with_slash(root)) }
}

/// What says that a file is still the one that was listed. Local files have the tag that local storage compares before it
/// deletes; elsewhere it is the entity tag, or size and modification time where the store has none.
pub(super) fn listed_tag(location: &Location, meta: &ObjectMeta) -> String {
    match (&location.bucket, &meta.e_tag) {
        (Some(_), Some(tag)) => tag.clone(),
        _ => super::file_tag(meta.size, meta.last_modified),
    }
}

/// The store of a location, registered in the runtime under the URL returned.
///
/// Without credentials or endpoint of its own a table uses the process's (`AWS_*` in the environment). With them it gets a
/// store of its own under a URL of its own, so that other tables on the same bucket keep theirs. Opens no connection.
pub fn object_store_for(
    url: &str,
    options: &BTreeMap<String, String>,
    context: &TableContext,
) -> Result<(ObjectStoreUrl, Arc<dyn ObjectStore>)> {
    let location = Location::parse(url)?;
    let Some(bucket) = location.bucket else {
        let store_url = ObjectStoreUrl::local_filesystem();
        let store = context.runtime.object_store(&store_url)?;
        return Ok((store_url, store));
    };
    let own = OwnStore::from_options(&bucket, options)?;
    let scheme = match &own {
        None => "s3".to_owned(),
        Some(own) => format!("s3+{:016x}", own.fingerprint()),
    };
    let store_url = ObjectStoreUrl::parse(format!("{scheme}://{bucket}"))
        .map_err(|e| Error::new(Kind::InvalidParameterValue, format!("`{bucket}` is no bucket name")).with_source(e))?;
    if let Ok(store) = context.runtime.object_store(&store_url) {
        return Ok((store_url, store));
    }
    let builder = match own {
        None => AmazonS3Builder::from_env(),
        Some(own) => own.builder(),
    };
    let store: Arc<dyn ObjectStore> = Arc::new(builder.with_bucket_name(&bucket).build().map_err(|e| {
        Error::new(Kind::Configuration, format!("bucket `{bucket}` cannot be reached with this configuration: {e}"))
            .with_hint("see AWS_REGION, AWS_ENDPOINT_URL, AWS_ALLOW_HTTP and the table's fs.s3a.* options")
            .with_source(e)
    })?);
    context.runtime.register_object_store(store_url.as_ref(), store.clone());
    Ok((store_url, store))
}

/// How a table with credentials or an endpoint of its own reaches its bucket.
#[derive(Debug, Default, Hash)]
struct OwnStore {
    endpoint: Option<String>,
    region: Option<String>,
    access_key: Option<String>,
    secret_key: Option<String>,
    session_token: Option<String>,
    anonymous: bool,
    path_style: Option<bool>,
    tls: Option<bool>,
    other: Vec<(String, String)>,
}

impl OwnStore {
    /// Reads `fs.s3a.*` (also `fs.s3a.bucket.NAME.*`, which wins) and `aws.*`; `None` if there is neither.
    fn from_options(bucket: &str, options: &BTreeMap<String, String>) -> Result<Option<OwnStore>> {
        let mut own = OwnStore::default();
        let mut any = false;
        let bucket_prefix = format!("fs.s3a.bucket.{}.", bucket.to_ascii_lowercase());
        let lower: Vec<(String, &String)> = options.iter().map(|(k, v)| (k.to_ascii_lowercase(), v)).collect();
        let general = lower.iter().filter(|(k, _)| k.starts_with("fs.s3a.") && !k.starts_with("fs.s3a.bucket."));
        let aws = lower.iter().filter(|(k, _)| k.starts_with("aws."));
        let specific = lower.iter().filter(|(k, _)| k.starts_with(&bucket_prefix));
        for (key, value) in general.chain(aws).chain(specific) {
            any = true;
            let name = key
                .strip_prefix(&bucket_prefix)
                .or_else(|| key.strip_prefix("fs.s3a."))
                .or_else(|| key.strip_prefix("aws."))
                .unwrap_or(key);
            own.set(key, name, value)?;
        }
        if !any {
            return Ok(None);
        }
        if own.endpoint.is_some() && !own.anonymous && (own.access_key.is_none() || own.secret_key.is_none()) {
            return Err(Error::new(
                Kind::InvalidParameterValue,
                "the table names an endpoint of its own but no credentials for it",
            )
            .with_hint(
                "add fs.s3a.access.key and fs.s3a.secret.key, or fs.s3a.aws.credentials.provider = anonymous; \
                 the process's credentials are not sent to other endpoints",
            ));
        }
        if own.access_key.is_some() != own.secret_key.is_some() {
            return Err(Error::new(
                Kind::InvalidParameterValue,
                "fs.s3a.access.key and fs.s3a.secret.key come together or not at all",
            ));
        }
        Ok(Some(own))
    }

    fn set(&mut self, key: &str, name: &str, value: &str) -> Result<()> {
        let text = || Some(value.to_owned());
        match name {
            "endpoint" | "endpoint.url" | "endpoint_url" => self.endpoint = text(),
            "endpoint.region" | "region" | "default.region" => self.region = text(),
            "access.key" | "access.key.id" | "access_key_id" => self.access_key = text(),
            "secret.key" | "secret.access.key" | "secret_access_key" => self.secret_key = text(),
            "session.token" | "session_token" => self.session_token = text(),
            "path.style.access" => self.path_style = Some(boolean(key, value)?),
            "connection.ssl.enabled" => self.tls = Some(boolean(key, value)?),
            "allow.http" | "allow_http" => self.tls = Some(!boolean(key, value)?),
            "aws.credentials.provider" => self.anonymous = value.to_ascii_lowercase().contains("anonymous"),
            // Hadoop's own tuning, which has no meaning for this client.
            "impl" | "connection.maximum" | "fast.upload" | "threads.max" | "attempts.maximum" => {}
            other => match other.replace('.', "_").parse::<AmazonS3ConfigKey>() {
                Ok(_) => self.other.push((other.replace('.', "_"), value.to_owned())),
                Err(_) => {
                    return Err(Error::new(Kind::InvalidParameterValue, format!("option `{key}` is not known for S3"))
                        .with_hint(
                            "fs.s3a.endpoint, .endpoint.region, .access.key, .secret.key, .session.token, \
                         .path.style.access, .connection.ssl.enabled and .aws.credentials.provider are",
                        ));
                }
            },
        }
        Ok(())
    }

    fn fingerprint(&self) -> u64 {
        let mut hasher = std::collections::hash_map::DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }

    /// Knows nothing of the process's credentials, unless the table only sets things that are none (a region).
    fn builder(self) -> AmazonS3Builder {
        let foreign = self.endpoint.is_some() || self.access_key.is_some() || self.anonymous;
        let mut builder = if foreign { AmazonS3Builder::new() } else { AmazonS3Builder::from_env() };
        let region = self.region.or_else(|| std::env::var("AWS_REGION").ok());
        if let Some(region) = region {
            builder = builder.with_region(region);
        }
        if let Some(endpoint) = self.endpoint {
            let tls = self.tls.unwrap_or(!endpoint.starts_with("http://"));
            let endpoint = match endpoint.contains("://") {
                true => endpoint,
                false => format!("{}://{endpoint}", if tls { "https" } else { "http" }),
            };
            builder = builder.with_allow_http(!tls || endpoint.starts_with("http://")).with_endpoint(endpoint);
        }
        if let (Some(access), Some(secret)) = (self.access_key, self.secret_key) {
            builder = builder.with_access_key_id(access).with_secret_access_key(secret);
        }
        if let Some(token) = self.session_token {
            builder = builder.with_token(token);
        }
        if let Some(path_style) = self.path_style {
            builder = builder.with_virtual_hosted_style_request(!path_style);
        }
        for (key, value) in self.other {
            if let Ok(key) = key.parse() {
                builder = builder.with_config(key, value);
            }
        }
        builder.with_skip_signature(self.anonymous)
    }
}

fn boolean(key: &str, value: &str) -> Result<bool> {
    match value.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => {
            Err(Error::new(Kind::InvalidParameterValue, format!("option `{key}` is `{value}`; it takes true or false")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context() -> TableContext {
        TableContext { runtime: Default::default(), warehouse: "file:///w/".to_owned() }
    }

    #[test]
    fn locations_become_absolute_urls() {
        for (text, base, expect) in [
            ("/a//b", None, "file:///a/b/"),
            ("file:/a/b", None, "file:///a/b/"),
            ("file:///a b/x/../c%20d", None, "file:///a b/c%20d/"),
            ("t/x=a:b", Some("file:///w/"), "file:///w/t/x=a:b/"),
            ("t", Some("s3a://bucket/lake"), "s3://bucket/lake/t/"),
            ("s3n://bucket", None, "s3://bucket/"),
            ("warehouse:db.db/t", None, "warehouse:db.db/t/"),
            ("t", Some("warehouse:db.db/"), "warehouse:db.db/t/"),
        ] {
            assert_eq!(absolute_url(text, base).unwrap(), expect, "{text}");
        }
        assert_eq!(absolute_url("hdfs://n/x", None).unwrap_err().kind, Kind::FeatureNotSupported);
        assert_eq!(absolute_url("/..", None).unwrap_err().kind, Kind::InvalidParameterValue);
    }

    #[test]
    fn keys_are_text_as_it_is() {
        let location = Location::parse("file:///t/city=a%3Ab c/x~y.parquet").unwrap();
        assert_eq!(location.key.as_ref(), "t/city=a%3Ab c/x~y.parquet");
        assert_eq!(location.url_of(&location.key), "file:///t/city=a%3Ab c/x~y.parquet");
    }

    #[test]
    fn a_table_with_its_own_credentials_has_its_own_store() {
        let context = context();
        let with = |pairs: &[(&str, &str)]| -> Result<ObjectStoreUrl> {
            let options = pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
            Ok(object_store_for("s3a://bucket/x/", &options, &context)?.0)
        };
        let plain = with(&[("header", "true")]).unwrap();
        assert_eq!(plain.as_str(), "s3://bucket/");
        let keys = [("fs.s3a.access.key", "k"), ("fs.s3a.secret.key", "s")];
        let own = with(&keys).unwrap();
        assert_ne!(own, plain);
        assert_eq!(own, with(&keys).unwrap());
        assert_ne!(own, with(&[keys[0], ("fs.s3a.secret.key", "other")]).unwrap());
        let error = with(&[("fs.s3a.endpoint", "http://127.0.0.1:9000")]).unwrap_err();
        assert!(error.message.contains("no credentials"), "{error}");
        assert!(with(&[keys[0], keys[1], ("fs.s3a.endpoint", "http://127.0.0.1:9000")]).is_ok());
        assert!(with(&[("fs.s3a.acces.key", "k")]).unwrap_err().message.contains("fs.s3a.acces.key"));
    }
}
