//! The rooms of ARCHITECTURE.md: what each names with `use crate::…` (or by path) is held against its table.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use syn::visit::Visit;

/// Rooms of `src`, and the rooms each may name. `error`, `settings` and `config` are open to all; a room may name itself.
const TABLE: [(&str, &[&str]); 10] = [
    ("cli", &["wire", "session", "engine", "sql", "commands"]),
    ("wire", &["session", "engine", "sql"]),
    ("session", &["commands", "engine", "sql", "tables"]),
    ("commands", &["session", "engine", "sql", "tables"]),
    ("engine", &["tables", "session"]),
    ("tables", &["session"]),
    ("sql", &[]),
    ("error", &[]),
    ("settings", &["sql"]),
    ("config", &["sql"]),
];
const OPEN: [&str; 3] = ["error", "settings", "config"];

/// Crates that only some rooms may name.
const CRATES: [(&str, &[&str]); 6] = [
    ("pgwire", &["wire"]),
    ("clap", &["cli"]),
    ("rustyline", &["cli"]),
    ("object_store", &["tables", "engine", "commands", "error"]),
    ("tycho_udfs", &["engine"]),
    ("tycho_catalog", &["tables", "engine", "session", "commands", "error", "wire", "cli"]),
];

#[derive(Default)]
struct Paths(BTreeSet<(String, String)>);

impl Paths {
    fn tree(&mut self, prefix: Vec<String>, tree: &syn::UseTree) {
        match tree {
            syn::UseTree::Path(path) => {
                let mut prefix = prefix;
                prefix.push(path.ident.to_string());
                self.tree(prefix, &path.tree);
            }
            syn::UseTree::Group(group) => group.items.iter().for_each(|t| self.tree(prefix.clone(), t)),
            syn::UseTree::Name(name) => self.note(&prefix, &name.ident.to_string()),
            syn::UseTree::Rename(rename) => self.note(&prefix, &rename.ident.to_string()),
            syn::UseTree::Glob(_) => self.note(&prefix, "*"),
        }
    }

    fn note(&mut self, prefix: &[String], last: &str) {
        let mut all = prefix.to_vec();
        all.push(last.to_owned());
        if let [first, second, ..] = all.as_slice() {
            self.0.insert((first.clone(), second.clone()));
        }
    }
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.tree(Vec::new(), &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let parts: Vec<String> = path.segments.iter().take(2).map(|s| s.ident.to_string()).collect();
        if let [first, second] = parts.as_slice() {
            self.0.insert((first.clone(), second.clone()));
        }
        syn::visit::visit_path(self, path);
    }

    /// Tests may look anywhere.
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        let is_test = module
            .attrs
            .iter()
            .any(|a| a.path().is_ident("cfg") && a.parse_args::<syn::Ident>().is_ok_and(|ident| ident == "test"));
        if !is_test {
            syn::visit::visit_item_mod(self, module);
        }
    }
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of sources").flatten() {
        let path = entry.path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn rooms_name_only_what_the_map_allows() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let table: BTreeMap<&str, &[&str]> = TABLE.into_iter().collect();
    let mut files = Vec::new();
    rust_files(&source, &mut files);
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for file in files {
        let relative = file.strip_prefix(&source).expect("below src");
        let first = relative.components().next().expect("a name").as_os_str().to_string_lossy().into_owned();
        let room = first.trim_end_matches(".rs").to_owned();
        if room == "lib" || room == "main" || relative.ends_with("tests.rs") {
            continue;
        }
        seen.insert(room.clone());
        let Some(allowed) = table.get(room.as_str()) else {
            wrong.push(format!("{}: the table has no room {room}", relative.display()));
            continue;
        };
        let parsed = syn::parse_file(&std::fs::read_to_string(&file).expect("a source")).expect("Rust");
        let mut paths = Paths::default();
        paths.visit_file(&parsed);
        for (krate, second) in paths.0 {
            if krate == "crate" {
                let named = second.as_str();
                let is_room = table.contains_key(named);
                if is_room && named != room && !OPEN.contains(&named) && !allowed.contains(&named) {
                    wrong.push(format!("{}: {room} must not name {named}", relative.display()));
                }
            }
            if let Some((_, rooms)) = CRATES.iter().find(|(name, _)| *name == krate)
                && !rooms.contains(&room.as_str())
            {
                wrong.push(format!("{}: {room} must not name the crate {krate}", relative.display()));
            }
        }
    }
    for (room, _) in TABLE {
        assert!(seen.contains(room), "the table has a room {room} that src has not");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The member crates know nothing of what lies above them.
#[test]
fn member_crates_keep_to_themselves() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (member, never) in [
        ("catalog", &["datafusion", "sqlparser", "object_store", "pgwire", "tycho"][..]),
        ("udfs", &["tycho_catalog", "tokio_postgres", "pgwire", "object_store", "tycho"][..]),
    ] {
        let mut files = Vec::new();
        rust_files(&root.join(member).join("src"), &mut files);
        for file in files {
            let parsed = syn::parse_file(&std::fs::read_to_string(&file).expect("a source")).expect("Rust");
            let mut paths = Paths::default();
            paths.visit_file(&parsed);
            for (krate, _) in paths.0 {
                assert!(!never.contains(&krate.as_str()), "{} names {krate}", file.display());
            }
        }
    }
}
