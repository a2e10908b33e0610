//! Files and links named in documents and comments exist, and README begins as it should.

use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Folders of the repository, as paths begin with them.
const FOLDERS: &[&str] =
    &["src/", "tests/", "docs/", "scripts/", "loadtest/", "clients/", "examples/", "benches/", "data/"];

/// Texts that name files which are not there, on purpose.
const INVENTED: &[&str] = &["tests/tidy/fakes.rs", "tests/documents.rs"];

/// Our texts: their path from the root, and what they say.
fn texts() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(ROOT)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            if path.is_dir() {
                if !name.starts_with('.') && !["target", "node_modules", "__pycache__"].contains(&&*name) {
                    folders.push(path);
                }
            } else if ["rs", "md", "sh", "py", "mjs", "js", "toml", "html", "css"]
                .iter()
                .any(|it| has_extension(&path, it))
            {
                let place = path.strip_prefix(ROOT).expect("under the root").to_string_lossy().into_owned();
                found.push((place, fs::read_to_string(&path).expect("text")));
            }
        }
    }
    found
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|it| it == extension)
}

/// The paths that a line names.
fn paths(line: &str) -> impl Iterator<Item = &str> {
    let words = line.split(|it: char| !(it.is_ascii_alphanumeric() || "_./-*{}@~$<>".contains(it)));
    let words = words.map(|word| word.trim_end_matches(['.', '-']));
    words
        .filter(|word| FOLDERS.iter().any(|it| word.starts_with(it) && word.len() > it.len()))
        .filter(|word| !word.contains(['*', '{', '$', '<', '>', '@', '~']))
}

/// The files of rooms that a line names in quotes, as `room/file.rs`: from `src/`, from the root, or from where it stands.
fn room_files(line: &str) -> impl Iterator<Item = &str> {
    let is_path = |word: &&str| {
        let is_plain = word.bytes().all(|it| it.is_ascii_alphanumeric() || b"/_.-".contains(&it));
        is_plain && word.contains('/') && word.ends_with(".rs")
    };
    line.split('`').skip(1).step_by(2).filter(is_path)
}

fn is_room_file(from: &str, word: &str) -> bool {
    let beside = Path::new(from).parent().unwrap_or(Path::new(""));
    [Path::new(""), Path::new("src"), beside].iter().any(|base| Path::new(ROOT).join(base).join(word).exists())
}

/// Whether it is there: a file, a folder, or the beginning of the name of one (`docs/decisions/0007`).
fn is_there(from: &str, path: &str) -> bool {
    let beside = Path::new(from).parent().unwrap_or(Path::new(""));
    [Path::new(""), beside, Path::new("loadtest")].iter().any(|base| {
        let place = Path::new(ROOT).join(base).join(path);
        let begins = |name: &str| {
            let entries = place.parent().and_then(|folder| fs::read_dir(folder).ok()).into_iter().flatten().flatten();
            entries.into_iter().any(|entry| entry.file_name().to_string_lossy().starts_with(&format!("{name}-")))
        };
        place.exists() || place.file_name().is_some_and(|name| begins(&name.to_string_lossy()))
    })
}

#[test]
fn files_that_comments_and_documents_name_are_there() {
    let mut dead = Vec::new();
    for (place, text) in texts().iter().filter(|(place, _)| !INVENTED.contains(&place.as_str())) {
        for (number, line) in (1..).zip(text.lines()) {
            let is_comment = ["//", "#", "/*", "*", "\"\"\""].iter().any(|mark| line.trim_start().starts_with(mark));
            if place.ends_with(".md") || is_comment {
                let gone = paths(line).filter(|path| !path.contains("DATE") && !is_there(place, path));
                let has_rooms = place.starts_with("src/") || place.starts_with("docs/decisions/");
                let rooms = room_files(line).filter(|word| has_rooms && !is_room_file(place, word));
                dead.extend(gone.chain(rooms).map(|path| format!("{place}:{number}: {path}")));
            }
        }
    }
    assert!(dead.is_empty(), "these are not there:\n{}", dead.join("\n"));
}

#[test]
fn a_path_that_is_not_there_is_found() {
    let found: Vec<_> = paths("see `docs/nothing.md`, (src/shard/mod.rs) and tests/*.rs.").collect();
    assert_eq!(found, ["docs/nothing.md", "src/shard/mod.rs"]);
    assert!(!is_there("README.md", "docs/nothing.md") && is_there("README.md", "docs/decisions/0007"));
    let named: Vec<_> = room_files("// `hub/mod.rs` and `hub/gone.rs`, `hub` and hub/other.rs").collect();
    assert_eq!(named, ["hub/mod.rs", "hub/gone.rs"]);
    let stands = |word| is_room_file("src/hub/mod.rs", word);
    assert!(stands("hub/mod.rs") && stands("home.rs") && stands("src/hub/mod.rs") && !stands("hub/gone.rs"));
}

#[test]
fn functions_that_the_walkthrough_names_are_there() {
    let texts = texts();
    let is_source = |path: &str| path.starts_with("src/") && path.ends_with(".rs");
    let sources: String = texts.iter().filter(|(path, _)| is_source(path)).map(|(_, text)| text.as_str()).collect();
    let (_, walks) = texts.iter().find(|(path, _)| path == "docs/WALKTHROUGH.md").expect("it is there");
    let is_name = |word: &&str| word.bytes().all(|it| it.is_ascii_lowercase() || it == b'_');
    let named: Vec<&str> = walks.split('`').skip(1).step_by(2).filter(is_name).collect();
    assert!(named.len() > 40, "it names functions");
    let missing: Vec<&str> = named.into_iter().filter(|name| !sources.contains(&format!("fn {name}"))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn records_of_decisions_have_numbers_of_their_own_that_their_titles_repeat() {
    let mut numbers: Vec<String> = Vec::new();
    let records = texts().into_iter().filter(|(place, _)| place.starts_with("docs/decisions/0"));
    for (place, text) in records {
        let number = place["docs/decisions/".len()..].split('-').next().unwrap_or_default().to_owned();
        assert!(text.starts_with(&format!("# {number}: ")), "{place}: the title");
        assert!(!numbers.contains(&number), "{place}: another record has this number");
        numbers.push(number);
    }
    assert!(numbers.len() > 20, "{numbers:?}");
}

#[test]
fn links_of_documents_lead_to_files() {
    let mut dead = Vec::new();
    for (place, text) in texts().iter().filter(|(place, _)| place.ends_with(".md")) {
        let links = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#', ' ']).next());
        for link in links.filter(|link| !link.is_empty() && !link.contains("://")) {
            let folder = Path::new(ROOT).join(place);
            if !folder.parent().expect("a folder").join(link).exists() {
                dead.push(format!("{place}: {link}"));
            }
        }
    }
    assert!(dead.is_empty(), "these links lead nowhere:\n{}", dead.join("\n"));
}

#[test]
fn readme_begins_with_a_few_lines_a_picture_and_a_chart() {
    let readme = fs::read_to_string(Path::new(ROOT).join("README.md")).expect("there is one");
    let lines: Vec<&str> = readme.lines().collect();
    let at = |mark: &str| lines.iter().position(|line| line.starts_with("![") && line.contains(mark)).expect(mark);
    let (picture, chart) = (at("](docs/demo.png)"), at("](docs/benchmarks/"));
    assert!(picture < chart && chart < 22, "lines {picture} and {chart}");
    let picture = fs::read(Path::new(ROOT).join("docs/demo.png")).expect("a picture");
    assert!(picture.starts_with(b"\x89PNG") && picture.len() < 250_000, "{} bytes", picture.len());
}

#[test]
fn no_public_repository_is_named_while_there_is_none() {
    for (place, text) in texts().iter().filter(|(place, _)| place.ends_with(".toml") || place.ends_with(".md")) {
        assert!(!text.contains("github.com/fanwire") && !text.contains("\nrepository"), "{place}");
    }
}

#[test]
fn no_text_holds_the_marks_of_an_unfinished_merge() {
    let marks = ["<", "=", ">"].map(|mark| mark.repeat(7));
    let is_marked =
        |text: &str| text.lines().filter(|line| marks.iter().any(|mark| line.starts_with(mark))).count() > 1;
    let marked: Vec<_> = texts().into_iter().filter(|(_, text)| is_marked(text)).map(|(place, _)| place).collect();
    assert!(marked.is_empty(), "unfinished merges: {marked:?}");
    assert!(is_marked(&format!("{0} ours\n{1}\n{0} theirs", marks[0], marks[1])), "the check finds one");
}

/// The hunks of a patch: the file, and the lines that it must have there.
fn hunks(patch: &str) -> Vec<(&str, String)> {
    let mut hunks: Vec<(&str, String)> = Vec::new();
    let mut file = "";
    for line in patch.lines() {
        if let Some(named) = line.strip_prefix("--- a/") {
            file = named;
        } else if line.starts_with("@@ ") {
            hunks.push((file, "\n".to_owned()));
        } else if let (Some((_, lines)), Some(line)) = (hunks.last_mut(), line.strip_prefix([' ', '-'])) {
            lines.push_str(line);
            lines.push('\n');
        }
    }
    hunks
}

#[test]
fn every_planted_bug_says_what_finds_it_and_still_has_its_place() {
    let folder = Path::new(ROOT).join("tests/mutants");
    let (mut count, mut wrong) = (0, Vec::new());
    for entry in fs::read_dir(folder).expect("a folder") {
        let place = entry.expect("an entry").path();
        let name = place.file_name().expect("a name").to_string_lossy().into_owned();
        let patch = fs::read_to_string(&place).expect("text");
        let finder = patch.lines().nth(1).unwrap_or_default();
        if !(finder.starts_with("Found by: ") && finder.contains("cargo nextest run --locked --")) {
            wrong.push(format!("{name}: its second line does not say what finds it"));
        }
        let hunks = hunks(&patch);
        let is_there = |(file, lines): &(&str, String)| {
            let text = fs::read_to_string(Path::new(ROOT).join(file)).unwrap_or_default();
            format!("\n{text}").matches(lines.as_str()).count() == 1
        };
        if hunks.is_empty() || !hunks.iter().all(is_there) {
            wrong.push(format!("{name}: the lines that it changes are not there, or are there twice"));
        }
        count += 1;
    }
    assert!(
        wrong.is_empty() && count >= 12,
        "{count} planted bugs, of which scripts/mutants.py cannot plant:\n{}",
        wrong.join("\n")
    );
}
