//! Every SQL block of the manual and of the README is run, page by page in a warehouse of its own, so that it can't lie.
//!
//! A block ```` ```sql ```` runs; ```` ```sql,error=42P01 ```` must fail with that SQLSTATE; ```` ```sql,ignore ```` is a shape, not a
//! statement; ```` ```sql,postgres ```` is the other dialect; `{{dir}}` is an empty folder, `{{root}}` the repository's. A block ```` ```text,output ```` behind it is what `tycho sql` prints.

use std::path::{Path, PathBuf};

use crate::server::{errors, sql_as};

struct Block {
    info: String,
    text: String,
    line: usize,
}

fn blocks(page: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut open: Option<Block> = None;
    for (number, line) in page.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(info)) => {
                open = Some(Block { info: info.trim().to_owned(), text: String::new(), line: number + 1 });
            }
            (Some(_), Some(_)) => found.extend(open.take()),
            (Some(block), None) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    found
}

fn pages(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = std::fs::read_dir(folder).expect("the manual").flatten().map(|e| e.path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            pages(&path, found);
        } else if path.extension().is_some_and(|e| e == "md") {
            found.push(path);
        }
    }
}

fn run_page(path: &Path) -> Vec<String> {
    let dir = tempfile::tempdir().expect("a folder");
    let text = std::fs::read_to_string(path).expect("a page");
    let mut wrong = Vec::new();
    let all = blocks(&text);
    for (index, block) in all.iter().enumerate() {
        let mut words = block.info.split(',');
        if words.next() != Some("sql") || block.info.contains("ignore") {
            continue;
        }
        let place = format!("{}:{}", path.display(), block.line);
        let expected = block.info.split("error=").nth(1);
        let dialect = if block.info.contains("postgres") { "postgres" } else { "spark" };
        let statements = block
            .text
            .replace("{{dir}}", &dir.path().to_string_lossy())
            .replace("{{root}}", env!("CARGO_MANIFEST_DIR"));
        let output = sql_as("table", &dir.path().join("warehouse"), &statements)
            .args(["--set", &format!("sql_dialect={dialect}")])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .expect("tycho sql runs");
        match expected {
            None if !output.status.success() => wrong.push(format!("{place}: {}", errors(&output))),
            Some(state) if !errors(&output).contains(&format!("ERROR [{state}]")) => {
                wrong.push(format!("{place}: {state} expected, got {}", errors(&output)));
            }
            _ => {}
        }
        if let Some(next) = all.get(index + 1).filter(|next| next.info == "text,output") {
            let shown = String::from_utf8_lossy(&output.stdout);
            if shown.trim_end() != next.text.trim_end() {
                wrong.push(format!("{place}: the page shows\n{}\nbut it prints\n{shown}", next.text));
            }
        }
    }
    wrong
}

#[test]
fn every_sql_block_runs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = vec![root.join("README.md")];
    pages(&root.join("docs"), &mut found);
    let wrong: Vec<String> = found.iter().flat_map(|p| run_page(p)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
/// The manual lists every setting and every conflict of the dialects, with the words of the code.
#[test]
fn tables_of_the_manual_are_those_of_the_code() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/src");
    let page = |name: &str| std::fs::read_to_string(root.join(name)).expect("a page").replace("\\|", "|");
    let (settings, dialects) = (page("configuration.md"), page("dialects.md"));
    let missing: Vec<&str> = tycho::settings::SETTINGS
        .iter()
        .filter(|s| !settings.lines().any(|l| l.starts_with(&format!("| `{}`", s.name)) && l.contains(s.help)))
        .map(|s| s.name)
        .chain(
            tycho::sql::dialect::CONFLICTS
                .iter()
                .map(|row| row.form)
                .filter(|form| !dialects.contains(&format!("| `{form}` |"))),
        )
        .collect();
    assert!(missing.is_empty(), "the manual lacks {missing:?}");
}
