//! Publishing on a local disk, with crashes between any two steps and other processes at work.

use std::fs;
use std::path::Path;

use tycho_catalog::{Published, RemovedFile, StagedFile, Storage};

use super::local_storage::{LocalStorage, file_tag, local_path, local_url, staging_area};
use crate::error::Kind;

struct Place {
    _folder: tempfile::TempDir,
    root: String,
}

impl Place {
    fn new() -> Place {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = format!("{}/", local_url(&folder.path().join("t")).expect("a URL"));
        Place { _folder: folder, root }
    }

    fn stage(&self, path: &str, content: &str) -> StagedFile {
        let staged = format!("{}{path}", staging_area(&self.root, 7));
        let file = local_path(&staged).expect("a path");
        fs::create_dir_all(file.parent().expect("a folder")).expect("made");
        fs::write(&file, content).expect("written");
        StagedFile { staged, target: format!("{}{path}", self.root), size_bytes: content.len() as u64 }
    }

    fn read(&self, path: &str) -> Option<String> {
        fs::read_to_string(local_path(&format!("{}{path}", self.root)).expect("a path")).ok()
    }

    fn entries(&self) -> Vec<String> {
        let mut found = Vec::new();
        list(&local_path(&self.root).expect("a path"), "", &mut found);
        found.sort();
        found
    }
}

fn list(folder: &Path, prefix: &str, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("listed") {
        let entry = entry.expect("an entry");
        let name = format!("{prefix}{}", entry.file_name().to_str().expect("UTF-8"));
        if entry.path().is_dir() {
            list(&entry.path(), &format!("{name}/"), found);
            found.push(format!("{name}/"));
        } else {
            found.push(name);
        }
    }
}

fn removed(place: &Place, path: &str, tag: Option<String>) -> RemovedFile {
    RemovedFile { target: format!("{}{path}", place.root), tag }
}

#[tokio::test]
async fn staged_files_become_visible_and_leave_no_trace() {
    let place = Place::new();
    let files = [
        place.stage("dt=a/part-1", "one"),
        place.stage("dt=b%3A%2F c/h=1/part-2", "two"),
        place.stage("part-3", "three"),
    ];
    LocalStorage.sync(&files).await.expect("synced");
    assert_eq!(LocalStorage.publish(&files).await.expect("published"), [Published::Done; 3]);
    assert_eq!(
        place.entries(),
        ["dt=a/", "dt=a/part-1", "dt=b%3A%2F c/", "dt=b%3A%2F c/h=1/", "dt=b%3A%2F c/h=1/part-2", "part-3"]
    );
    assert_eq!(place.read("dt=b%3A%2F c/h=1/part-2").as_deref(), Some("two"));
    // Again, as a second process that rolls the transaction forward.
    assert_eq!(LocalStorage.publish(&files).await.expect("published"), [Published::Done; 3]);
}

#[tokio::test]
async fn a_crash_between_two_renames_is_finished_by_the_next() {
    let place = Place::new();
    let files: Vec<_> = (0..40).map(|i| place.stage(&format!("dt={i}/part-{i}"), &i.to_string())).collect();
    LocalStorage.sync(&files).await.expect("synced");
    assert_eq!(LocalStorage.publish(&files[..20]).await.expect("published"), [Published::Done; 20]);
    let (one, two) = tokio::join!(LocalStorage.publish(&files), LocalStorage.publish(&files));
    assert_eq!(one.expect("published"), [Published::Done; 40]);
    assert_eq!(two.expect("published"), [Published::Done; 40]);
    assert_eq!(place.read("dt=39/part-39").as_deref(), Some("39"));
}

#[tokio::test]
async fn what_is_gone_or_not_what_was_staged_is_lost() {
    let place = Place::new();
    let gone = place.stage("dt=a/part-1", "one");
    let cut = place.stage("dt=a/part-2", "twotwo");
    fs::remove_file(local_path(&gone.staged).expect("a path")).expect("removed");
    LocalStorage.publish(std::slice::from_ref(&cut)).await.expect("published");
    fs::write(local_path(&cut.target).expect("a path"), "tw").expect("cut");
    let fine = place.stage("dt=b/part-3", "three");
    let outcome = LocalStorage.publish(&[gone.clone(), cut, fine]).await.expect("an answer");
    assert_eq!(outcome, [Published::Lost, Published::Lost, Published::Done]);
    assert!(LocalStorage.sync(&[gone]).await.is_err(), "a staged file that is gone cannot be made durable");
}

#[tokio::test]
async fn an_abandoned_area_goes_with_all_in_it_and_nothing_else() {
    let place = Place::new();
    place.stage("dt=a/part-1", "one");
    let area = staging_area(&place.root, 7);
    LocalStorage.abandon(std::slice::from_ref(&area)).await.expect("abandoned");
    LocalStorage.abandon(&[area]).await.expect("abandoned twice");
    assert_eq!(place.entries(), [""; 0]);
    fs::write(local_path(&format!("{}kept", place.root)).expect("a path"), "x").expect("written");
    assert!(
        LocalStorage.abandon(std::slice::from_ref(&place.root)).await.is_err(),
        "a table's root is no staging area"
    );
    assert_eq!(place.entries(), ["kept"]);
}

#[tokio::test]
async fn deleting_prunes_empty_partition_folders_but_not_the_root() {
    let place = Place::new();
    let files = [
        place.stage("dt=a/h=1/part-1", "one"),
        place.stage("dt=a/h=2/part-2", "two"),
        place.stage("dt=b/h=1/part-3", "three"),
    ];
    LocalStorage.publish(&files).await.expect("published");
    let gone = [removed(&place, "dt=a/h=1/part-1", None), removed(&place, "dt=b/h=1/part-3", None)];
    LocalStorage.delete(&gone).await.expect("deleted");
    LocalStorage.delete(&gone).await.expect("deleted twice");
    assert_eq!(place.entries(), ["dt=a/", "dt=a/h=2/", "dt=a/h=2/part-2"]);
    LocalStorage.delete(&[removed(&place, "dt=a/h=2/part-2", None)]).await.expect("deleted");
    assert_eq!(place.entries(), [""; 0]);
    assert!(local_path(&place.root).expect("a path").exists());
}

#[tokio::test]
async fn a_foreign_file_is_deleted_only_while_it_is_the_same() {
    let place = Place::new();
    let file = place.stage("dt=a/part-1", "one");
    LocalStorage.publish(&[file]).await.expect("published");
    let path = local_path(&format!("{}dt=a/part-1", place.root)).expect("a path");
    let tag = |path: &Path| {
        let metadata = fs::metadata(path).expect("there");
        file_tag(metadata.len(), metadata.modified().expect("a time").into())
    };
    let old = tag(&path);
    fs::write(&path, "more than one").expect("written");
    LocalStorage.delete(&[removed(&place, "dt=a/part-1", Some(old))]).await.expect("skipped");
    assert_eq!(place.read("dt=a/part-1").as_deref(), Some("more than one"));
    LocalStorage.delete(&[removed(&place, "dt=a/part-1", Some(tag(&path)))]).await.expect("deleted");
    assert_eq!(place.entries(), [""; 0]);
}

/// One process publishes into partitions while another keeps emptying them.
#[tokio::test(flavor = "multi_thread")]
async fn publishing_and_pruning_do_not_disturb_each_other() {
    let place = Place::new();
    for round in 0..30 {
        let files: Vec<_> = (0..8).map(|i| place.stage(&format!("dt={i}/part-{round}"), "x")).collect();
        let old: Vec<_> = (0..8).map(|i| removed(&place, &format!("dt={i}/part-{}", round - 1), None)).collect();
        let (published, deleted) = tokio::join!(LocalStorage.publish(&files), LocalStorage.delete(&old));
        assert_eq!(published.expect("published"), [Published::Done; 8]);
        deleted.expect("deleted");
        for file in &files {
            assert!(local_path(&file.target).expect("a path").exists(), "round {round}: {}", file.target);
        }
    }
}

#[tokio::test]
async fn other_stores_are_refused() {
    let error = local_path("s3://bucket/t/").expect_err("no local path");
    assert_eq!(error.kind, Kind::FeatureNotSupported);
    assert_eq!(local_path("file:///a%20b/x=%3A").expect("a path"), Path::new("/a%20b/x=%3A"));
    assert_eq!(local_path("file:/a").expect("a path"), Path::new("/a"));
    assert!(local_path("file://host/a").is_err());
    let file = StagedFile { staged: "s3://b/x".into(), target: "s3://b/y".into(), size_bytes: 1 };
    assert!(LocalStorage.publish(&[file]).await.is_err());
}
