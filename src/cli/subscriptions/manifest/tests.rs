//! Folders as people keep them, and what can be wrong in them.

use super::*;

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    folder
}

fn found(files: &[(&str, &str)]) -> (Vec<String>, Vec<String>, usize) {
    let folder = folder(files);
    let found = read(folder.path(), |_, _| {}).unwrap();
    let start = format!("{}/", folder.path().display());
    let manifests = found.manifests.values().map(|manifest| {
        let place = manifest.place().to_string().replace(&start, "");
        format!("{} {place} {}", manifest.key, manifest.value)
    });
    let problems = found.problems.iter();
    let problems = problems.map(|problem| problem.to_string().replace(&start, ""));
    (
        manifests.collect(),
        problems.collect(),
        found.passed_over.len(),
    )
}

#[test]
fn names_come_from_members_or_from_the_path() {
    let (manifests, problems, passed_over) = found(&[
        ("acme/shop.yaml", "url: u # here\n"),
        ("acme/many.yml", "id: a\n---\n# b\nid: b\ntenant: other\n"),
        (
            "lists/of/x.json",
            r#"[{"id":"c"},
            {"id" : "d" }]"#,
        ),
        ("top.json", "{}"),
        ("lists/list.yaml", "- {id: e}\n- id: f\n"),
        ("empty.yaml", "# nothing yet\n"),
        ("empty.json", "\n"),
        (".git/config.yaml", "a: ["),
        ("acme/.shop.yaml.swp.yaml", "a: ["),
        ("README.md", "# hello"),
        ("acme/shop.toml", ""),
    ]);
    assert_eq!(problems, [""; 0]);
    assert_eq!(
        manifests,
        [
            r#"acme/a acme/many.yml:1 {"id":"a"}"#,
            r#"acme/shop acme/shop.yaml:1 {"url":"u"}"#,
            r#"default/top top.json:1 {}"#,
            r#"lists/e lists/list.yaml:1 {"id":"e"}"#,
            r#"lists/f lists/list.yaml:2 {"id":"f"}"#,
            r#"of/c lists/of/x.json:1 {"id":"c"}"#,
            r#"of/d lists/of/x.json:2 {"id":"d"}"#,
            r#"other/b acme/many.yml:4 {"id":"b","tenant":"other"}"#,
        ]
    );
    assert_eq!(passed_over, 2);
}

#[test]
fn everything_that_is_wrong_is_found_at_once() {
    let (manifests, problems, _) = found(&[
        ("a.yaml", "id: same\n"),
        ("b.json", "{\n\"id\": \"same\"}"),
        ("c.yaml", "id: 1\n"),
        ("d.yaml", "- {}\n- {id: ok}\n"),
        ("e.json", "{\n\"id\": }"),
        ("f.yaml", "just text\n"),
        ("g.yaml", "url: u\nid: a/b\n"),
        ("h h.yaml", "{}"),
        ("i.yaml", "id: i\nurl: a\nurl: b\n"),
        ("un safe/j.yaml", "id: j\n"),
    ]);
    let keys: Vec<_> = manifests
        .iter()
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    assert_eq!(keys, ["default/ok", "default/same"]);
    let starts = [
        "b.json:1: default/same: is also in a.yaml:1",
        "c.yaml:1: `id`: must be a string: quote it",
        "d.yaml:1: `id`: is missing, and the file holds more than one",
        "e.json:2: is not JSON (column 7)",
        "f.yaml:1: is no subscription",
        "g.yaml:2: cannot be `default/a/b`: the id is not",
        "h h.yaml:1: cannot be `default/h h`: the id is not",
        "i.yaml:3: duplicate",
        "un safe/j.yaml:1: cannot be `un safe/j`: the tenant is not",
    ];
    assert_eq!(problems.len(), starts.len(), "{problems:#?}");
    for (problem, start) in problems.iter().zip(starts) {
        assert!(problem.starts_with(start), "{problem}\n{start}");
    }
}

#[test]
fn one_file_is_as_good_as_a_folder() {
    let folder = folder(&[("one", "{\"url\": \"u\"}"), ("binary.yaml", "a: 1\n")]);
    let found = read(&folder.path().join("one"), |_, _| {}).unwrap();
    let keys: Vec<_> = found.manifests.keys().map(ToString::to_string).collect();
    assert_eq!(keys, ["default/one"]);
    fs::write(folder.path().join("binary.yaml"), b"a: 1\nb: \xff").unwrap();
    let found = read(folder.path(), |_, _| {}).unwrap();
    let problem = found.problems[0].to_string();
    assert!(
        problem.ends_with("binary.yaml:2: is not UTF-8"),
        "{problem}"
    );
    assert!(read(&folder.path().join("missing"), |_, _| {}).is_err());
}

#[test]
fn links_to_files_are_followed_and_to_folders_not() {
    let folder = folder(&[("..data/shop.yaml", "{}"), ("acme/real.yaml", "{}")]);
    let link = |to: &str, name: &str| {
        std::os::unix::fs::symlink(folder.path().join(to), folder.path().join(name)).unwrap();
    };
    link("..data/shop.yaml", "shop.yaml");
    link(".", "acme/again");
    link("missing", "gone.yaml");
    let found = read(folder.path(), |_, _| {}).unwrap();
    let keys: Vec<_> = found.manifests.keys().map(ToString::to_string).collect();
    assert_eq!(keys, ["acme/real", "default/shop"]);
    assert_eq!(found.passed_over.len(), 2);
}
