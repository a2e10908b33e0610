//! The rules. Each takes what it judges and its table, and returns what is wrong, where, and what to do.

use std::fmt;

use super::source::Source;

/// One room and the rooms that it may import; `*` is all of them.
pub struct Room {
    pub name: &'static str,
    pub imports: &'static [&'static str],
}

/// One third-party crate, as it is named in code, and where it may be.
pub struct Crate {
    pub name: &'static str,
    pub places: &'static [&'static str],
}

/// Something not to be written, where it may be all the same, and what to do instead.
pub struct Ban {
    pub text: &'static str,
    pub places: &'static [&'static str],
    pub instead: &'static str,
}

/// Something to tidy up.
#[derive(Debug)]
pub struct Violation {
    place: String,
    advice: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.advice)
    }
}

pub(super) fn violation(place: impl Into<String>, advice: impl Into<String>) -> Violation {
    Violation { place: place.into(), advice: advice.into() }
}

/// Whether `path` is one of the places, or in one of them.
fn is_in(path: &str, places: &[&str]) -> bool {
    places.iter().any(|place| {
        let rest = path.strip_prefix(place);
        // `driver/uring` is also `driver/uring.rs` and `driver/uring_ring.rs`.
        place.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '.', '_']))
    })
}

fn path_in_src(source: &Source) -> &str {
    source.path.strip_prefix("src/").unwrap_or(&source.path)
}

/// A room imports what its row allows, and of a room with a seam only the seam.
pub fn imports(source: &Source, rooms: &[Room], seams: &[(&str, &[&str])]) -> Vec<Violation> {
    let path = path_in_src(source);
    let own = path.split('/').next().unwrap_or(path).trim_end_matches(".rs");
    let Some(room) = rooms.iter().find(|room| room.name == own) else {
        return vec![violation(&source.path, format!("the room `{own}` has no row in ROOMS: add it, with its floor"))];
    };
    let mut violations = climbs(source, path);
    let crate_names = ["crate::", "fanwire::"];
    let paths = crate_names.iter().flat_map(|name| source.find_words(name).map(|at| at + name.len()));
    for (at, names) in paths.flat_map(|at| expand(&source.code[at..]).into_iter().map(move |names| (at, names))) {
        let Some(other) = names.first().map(String::as_str).filter(|other| *other != own) else { continue };
        // A name at the root that is no room is a macro, or a re-export that `lib` answers for.
        if !rooms.iter().any(|room| room.name == other) && !other.starts_with(|it: char| it.is_ascii_lowercase()) {
            continue;
        }
        if room.imports != ["*"] && !room.imports.contains(&other) {
            let advice = format!("`{own}` may not import `{other}`: return a value instead, or let `shard` carry it");
            violations.push(violation(source.place(at), advice));
        }
        let seam = seams.iter().find(|(seam, _)| *seam == other);
        let is_behind = names.get(1).is_some_and(|name| name.starts_with(|it: char| it.is_ascii_lowercase()));
        if seam.is_some_and(|(_, insiders)| is_behind && !insiders.contains(&own)) {
            let advice = format!("`{own}` sees of `{other}` only what its mod.rs holds, not `{}`", names.join("::"));
            violations.push(violation(source.place(at), advice));
        }
    }
    violations
}

/// Folders inside a room: each names of the others only what its row allows.
pub fn folders(source: &Source, room: &str, folders: &[Room]) -> Vec<Violation> {
    let inside = source.path.strip_prefix(room).unwrap_or(&source.path);
    let Some((own, _)) = inside.split_once('/') else { return Vec::new() };
    let Some(row) = folders.iter().find(|folder| folder.name == own) else {
        return vec![violation(&source.path, format!("the folder `{own}` has no row: add it, with what it may name"))];
    };
    let prefix = format!("crate::{}::", room.trim_start_matches("src/").trim_end_matches('/'));
    let paths = source.find_words(&prefix).flat_map(|at| {
        expand(&source.code[at + prefix.len()..])
            .into_iter()
            .filter_map(move |names| Some((at, names.first()?.clone())))
    });
    let is_wrong =
        |other: &str| other != own && folders.iter().any(|it| it.name == other) && !row.imports.contains(&other);
    let wrong = paths.filter(|(_, other)| is_wrong(other));
    wrong.map(|(at, other)| violation(source.place(at), format!("`{own}` may not name `{other}`"))).collect()
}

/// `super::super::` to the root hides an arrow.
fn climbs(source: &Source, path: &str) -> Vec<Violation> {
    let depth = path.trim_end_matches("/mod.rs").trim_end_matches(".rs").split('/').count();
    let chain = "super::".repeat(depth.max(1));
    let at_root = source.find_words(&chain).filter(|_| !matches!(path, "lib.rs" | "main.rs"));
    // A module inside the file may climb once more.
    let is_inline = |at: usize| source.code[..at].matches('{').count() > source.code[..at].matches('}').count();
    let found = at_root.filter(|&at| !is_inline(at));
    found.map(|at| violation(source.place(at), "write `crate::`, so that the arrow shows")).collect()
}

/// The paths of a use tree: `a::{b, c::d}` is `a::b` and `a::c::d`.
pub fn expand(tree: &str) -> Vec<Vec<String>> {
    let is_name = |it: char| it.is_alphanumeric() || it == '_';
    let tree = tree.trim_start();
    let end = tree.find(|it| !is_name(it)).unwrap_or(tree.len());
    let (name, rest) = tree.split_at(end);
    if let Some(group) = rest.strip_prefix('{').filter(|_| name.is_empty()) {
        return split_group(group).into_iter().flat_map(expand).collect();
    }
    match rest.strip_prefix("::") {
        _ if name.is_empty() => Vec::new(),
        Some(rest) => {
            let deeper = expand(rest);
            let with_name = |path: Vec<String>| [vec![name.to_owned()], path].concat();
            if deeper.is_empty() { vec![vec![name.to_owned()]] } else { deeper.into_iter().map(with_name).collect() }
        }
        None => vec![vec![name.to_owned()]],
    }
}

/// The members of a group, up to its closing brace.
fn split_group(group: &str) -> Vec<&str> {
    let (mut depth, mut from, mut members) = (0_usize, 0, Vec::new());
    for (at, it) in group.char_indices() {
        match it {
            '{' => depth += 1,
            '}' if depth == 0 => {
                members.push(&group[from..at]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                members.push(&group[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    members
}

/// A crate is named in its places only.
pub fn crates(source: &Source, crates: &[Crate]) -> Vec<Violation> {
    let path = path_in_src(source);
    let away = crates.iter().filter(|row| !is_in(path, row.places));
    let uses = away.flat_map(|row| crate_uses(source, row.name).map(move |at| (at, row)));
    uses.map(|(at, row)| {
        let advice = format!("`{}` is imported in {:?} only: use what is there, or edit CRATES", row.name, row.places);
        violation(source.place(at), advice)
    })
    .collect()
}

/// A place where the crate is not named any more would let it in again unseen.
pub fn stale_places(sources: &[Source], crates: &[Crate]) -> Vec<Violation> {
    let places = crates.iter().flat_map(|row| row.places.iter().map(move |place| (row.name, *place)));
    let is_used = |name: &str, place: &str| {
        let mut there = sources.iter().filter(|source| is_in(path_in_src(source), &[place]));
        there.any(|source| crate_uses(source, name).next().is_some())
    };
    places
        .filter(|(name, place)| !is_used(name, place))
        .map(|(name, place)| violation(format!("src/{place}"), format!("no `{name}` there: take it out of CRATES")))
        .collect()
}

fn crate_uses<'a>(source: &'a Source, name: &'a str) -> impl Iterator<Item = usize> + 'a {
    source.find_words(name).filter(move |&at| is_crate_path(&source.code, at, name))
}

/// Whether the name at `at` begins a path: `name::` or `use name`, but not `other::name::`.
fn is_crate_path(code: &str, at: usize, name: &str) -> bool {
    let (before, behind) = (code[..at].trim_end(), &code[at + name.len()..]);
    let is_first = !before.ends_with("::") || before.trim_end_matches("::").ends_with([' ', '(', '<', '\n']);
    is_first && !before.ends_with('.') && (behind.starts_with("::") || before.ends_with("use"))
}

/// Each dependency in the manifest has its row, and each row its dependency.
pub fn dependencies(manifest: &str, crates: &[Crate]) -> Vec<Violation> {
    let manifest: toml::Table = manifest.parse().expect("a manifest of TOML");
    let names: Vec<String> = manifest["dependencies"]
        .as_table()
        .expect("dependencies are a table")
        .keys()
        .map(|name| name.replace('-', "_"))
        .collect();
    let missing = names.iter().filter(|name| crates.iter().all(|row| row.name != **name));
    let stale = crates.iter().filter(|row| names.iter().all(|name| name != row.name));
    missing
        .map(|name| violation("Cargo.toml", format!("`{name}` has no row in CRATES: say where it may be imported")))
        .chain(stale.map(|row| violation("Cargo.toml", format!("`{}` is gone: take its row out of CRATES", row.name))))
        .collect()
}

/// `unsafe` stands in its files only.
pub fn unsafe_code(source: &Source, files: &[&str]) -> Vec<Violation> {
    if is_in(path_in_src(source), files) {
        return Vec::new();
    }
    let found = source.find_words("unsafe").chain(source.find_words("allow(unsafe_code"));
    found
        .map(|at| violation(source.place(at), "no `unsafe` here: write it safely, or edit UNSAFE with a decision"))
        .collect()
}

/// Banned text does not occur; `root` is cut from the paths in the table.
pub fn bans(source: &Source, root: &str, bans: &[Ban]) -> Vec<Violation> {
    let path = source.path.strip_prefix(root).unwrap_or(&source.path);
    let held = bans.iter().filter(|ban| !is_in(path, ban.places));
    let found = held.flat_map(|ban| source.find_words(ban.text).map(move |at| (at, ban)));
    found.map(|(at, ban)| violation(source.place(at), format!("no `{}` here: {}", ban.text, ban.instead))).collect()
}

/// Names of errors and numbers of statuses and close codes stand in their table only; others take them from there.
pub fn error_literals(source: &Source, places: &[&str], names: &[&str], numbers: &[&str]) -> Vec<Violation> {
    if is_in(path_in_src(source), places) {
        return Vec::new();
    }
    let is_named = |line: &str| names.iter().any(|name| line.contains(&format!("\"{name}\"")));
    // The code has no insides of strings. Where its line is empty, there is a comment or a test.
    let lines = source.text.lines().zip(source.code.lines()).zip(1..);
    let named = lines.filter(|((line, code), _)| !code.trim().is_empty() && is_named(line));
    let named = named.map(|(_, at)| format!("{}:{at}", source.path));
    let numbered = numbers.iter().flat_map(|number| source.find_words(number)).map(|at| source.place(at));
    let advice = "take it from `ErrorCode`, `CloseReason` or `Status`";
    named.chain(numbered).map(|place| violation(place, advice)).collect()
}

/// A test that does not run holds nothing. Looks at tests too.
pub fn ignored_tests(source: &Source) -> Vec<Violation> {
    let mark = concat!("#[", "ignore");
    let lines = source.text.lines().zip(1..).filter(|(line, _)| line.trim_start().starts_with(mark));
    lines.map(|(_, at)| violation(format!("{}:{at}", source.path), "make the test run, or take it out")).collect()
}

/// A file has at most `lines_max` lines, its tests among them, or at most those of its row, which may only shrink.
pub fn length(path: &str, text: &str, lines_max: usize, long: &[(&str, usize)]) -> Vec<Violation> {
    let (lines, row) = (text.lines().count(), long.iter().find(|(long, _)| *long == path));
    let advice = match row {
        None if lines > lines_max => format!("{lines} lines, {lines_max} at most: split it by meaning"),
        Some((_, recorded)) if lines > *recorded => {
            format!("grew from {recorded} to {lines} lines: split it by meaning")
        }
        Some(_) if lines <= lines_max => "is short enough now: take its row out of LONG".to_owned(),
        Some((_, recorded)) if lines < *recorded => format!("shrank to {lines} lines: write that into LONG"),
        _ => return Vec::new(),
    };
    vec![violation(path, advice)]
}

/// Rows of files that are gone.
pub fn stale_lengths(long: &[(&str, usize)], is_there: impl Fn(&str) -> bool) -> Vec<Violation> {
    let gone = long.iter().filter(|(path, _)| !is_there(path));
    gone.map(|(path, _)| violation(*path, "is gone: take its row out of LONG")).collect()
}

/// Documents stay as short as they were promised to be.
pub fn documents<'a>(documents: &[(&str, usize)], text: impl Fn(&str) -> Option<&'a str>) -> Vec<Violation> {
    let lines = documents.iter().filter_map(|(path, max)| Some((path, max, text(path)?.lines().count())));
    let long = lines.filter(|(_, max, lines)| lines > max);
    long.map(|(path, max, lines)| violation(*path, format!("{lines} lines, {max} at most: say it shorter"))).collect()
}

/// A source opens with what it is.
pub fn header(source: &Source) -> Vec<Violation> {
    let opens = source.text.trim_start().starts_with("//!");
    let advice = "open with `//!`: what it is, what it must never know, where its tests are";
    if opens { Vec::new() } else { vec![violation(format!("{}:1", source.path), advice)] }
}

/// The folders of whoever builds this.
const MACHINE_PATHS: &[&str] = &[concat!("/wo", "rk"), concat!("/ro", "ot"), concat!("/ho", "me/")];

/// No text names a folder of one machine.
pub fn machine_paths(path: &str, text: &str) -> Vec<Violation> {
    let is_word = |it: char| it.is_alphanumeric() || matches!(it, '_' | '-' | '.');
    let names_one = |line: &str| {
        MACHINE_PATHS.iter().any(|folder| {
            line.match_indices(folder).any(|(at, _)| {
                let (before, behind) = (&line[..at], &line[at + folder.len()..]);
                !before.ends_with(is_word) && (folder.ends_with('/') || !behind.starts_with(is_word))
            })
        })
    };
    let lines = text.lines().zip(1..).filter(|(line, _)| names_one(line));
    lines.map(|(_, at)| violation(format!("{path}:{at}"), "name no folder of one machine")).collect()
}
