//! The tree as the rules see it: every text file, and Rust sources without comments, strings and tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Folders that are not ours to judge.
const SKIPPED: &[&str] = &["target", "node_modules", "__pycache__", ".git", "tmp", "corpus", "artifacts"];

/// Larger files are no prose and no source.
const TEXT_LEN_MAX: u64 = 1024 * 1024;

/// Every text file by its path from the root, with `/`.
pub struct Tree {
    texts: BTreeMap<String, String>,
    tests: BTreeSet<String>,
}

/// One Rust file.
pub struct Source {
    /// From the root, with `/`.
    pub path: String,
    /// As it was written.
    pub text: String,
    /// Line for line, without comments, the insides of strings, and what is only there for tests.
    pub code: String,
}

impl Tree {
    pub fn read() -> Self {
        let mut tree = Self { texts: BTreeMap::new(), tests: BTreeSet::new() };
        tree.read_folder(Path::new(env!("CARGO_MANIFEST_DIR")), "");
        tree.tests = tree.texts.iter().flat_map(|(path, text)| test_files(path, text)).collect();
        tree
    }

    fn read_folder(&mut self, folder: &Path, prefix: &str) {
        for entry in fs::read_dir(folder).expect("a folder that can be read").map_while(Result::ok) {
            let name = entry.file_name().to_string_lossy().into_owned();
            let kind = entry.file_type().expect("a kind of file");
            let path = format!("{prefix}{name}");
            if kind.is_dir() && !SKIPPED.contains(&name.as_str()) {
                self.read_folder(&entry.path(), &format!("{path}/"));
            } else if kind.is_file() && entry.metadata().is_ok_and(|it| it.len() <= TEXT_LEN_MAX) && name != ".git" {
                // A file that is not UTF-8 is not text.
                if let Ok(text) = fs::read_to_string(entry.path()) {
                    self.texts.insert(path, text);
                }
            }
        }
    }

    pub fn text(&self, path: &str) -> Option<&str> {
        self.texts.get(path).map(String::as_str)
    }

    pub fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// The Rust files under `folder` that are there for more than tests of their parent.
    pub fn rust(&self, folder: &str) -> impl Iterator<Item = Source> {
        let wanted = move |path: &str| path.starts_with(folder) && path.ends_with(".rs") && !self.tests.contains(path);
        self.texts().filter(move |(path, _)| wanted(path)).map(|(path, text)| Source::new(path, text))
    }
}

impl Source {
    pub fn new(path: &str, text: &str) -> Self {
        let blank = without_comments(text);
        Self { path: path.into(), text: text.into(), code: without_tests(&blank) }
    }

    /// `path:line` of an octet of the code.
    pub fn place(&self, at: usize) -> String {
        let line = 1 + self.code.bytes().take(at).filter(|octet| *octet == b'\n').count();
        format!("{}:{line}", self.path)
    }

    /// Where `text` begins in the code as words of its own: no part of a longer name.
    pub fn find_words<'a>(&'a self, text: &'a str) -> impl Iterator<Item = usize> + 'a {
        let is_word = |octet: Option<u8>| octet.is_some_and(|octet| octet.is_ascii_alphanumeric() || octet == b'_');
        let code = self.code.as_bytes();
        self.code.match_indices(text).map(|(at, _)| at).filter(move |&at| {
            let (first, last) = (text.as_bytes().first().copied(), text.as_bytes().last().copied());
            let begins = !is_word(first) || at == 0 || !is_word(code.get(at - 1).copied());
            let ends = !is_word(last) || !is_word(code.get(at + text.len()).copied());
            begins && ends
        })
    }
}

/// The files that a `#[cfg(test)] mod name;` in this one stands for.
fn test_files(path: &str, text: &str) -> Vec<String> {
    let Some(stem) = path.strip_suffix(".rs") else { return Vec::new() };
    let (folder, name) = stem.rsplit_once('/').unwrap_or(("", stem));
    let folder = if matches!(name, "mod" | "lib" | "main") { folder } else { stem };
    let code = without_comments(text);
    let modules = code.split("#[cfg(test)]").skip(1).filter_map(|rest| {
        let rest = rest.trim_start();
        let name = rest.strip_prefix("pub ").unwrap_or(rest).strip_prefix("mod ")?;
        let end = name.find(|it: char| !it.is_alphanumeric() && it != '_')?;
        name[end..].starts_with(';').then(|| name[..end].to_owned())
    });
    modules.flat_map(|name| [format!("{folder}/{name}.rs"), format!("{folder}/{name}/mod.rs")]).collect()
}

/// The text with spaces in place of comments and of what stands in strings and character literals.
fn without_comments(text: &str) -> String {
    let octets = text.as_bytes();
    let mut blank = octets.to_vec();
    let mut at = 0;
    while at < octets.len() {
        let rest = &octets[at..];
        let (keep, end) = match rest {
            [b'/', b'/', ..] => (0, at + rest.iter().position(|it| *it == b'\n').unwrap_or(rest.len())),
            [b'/', b'*', ..] => (0, at + comment_len(rest)),
            [b'"', ..] => (1, at + string_len(rest)),
            [b'r', b'"' | b'#', ..] if !is_name(octets, at) => match raw_string_len(rest) {
                Some(len) => (1, at + len),
                None => (0, at),
            },
            [b'\'', b'\\', tail @ ..] => {
                (1, at + 3 + tail.iter().skip(1).position(|it| *it == b'\'').map_or(tail.len(), |end| end + 1))
            }
            [b'\'', tail @ ..] => match char_len(tail) {
                Some(len) => (1, at + len + 2),
                None => (0, at),
            },
            _ => (0, at),
        };
        let end = end.min(octets.len());
        let inside = (at + keep).min(end)..end.saturating_sub(keep).max((at + keep).min(end));
        blank[inside].iter_mut().filter(|octet| **octet != b'\n').for_each(|octet| *octet = b' ');
        at = end.max(at + 1);
    }
    String::from_utf8(blank).expect("what is not ASCII was blanked whole or kept whole")
}

/// Whether the octet at `at` is inside a name; `br"..."` and `cr"..."` are strings.
fn is_name(octets: &[u8], at: usize) -> bool {
    let is_word = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'_';
    match &octets[..at] {
        [.., before, b'b' | b'c'] => is_word(*before),
        [.., before] => is_word(*before),
        [] => false,
    }
}

fn comment_len(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] if depth == 1 => return at + 2,
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    at
}

fn string_len(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    at
}

fn raw_string_len(rest: &[u8]) -> Option<usize> {
    let hashes = rest[1..].iter().take_while(|octet| **octet == b'#').count();
    (rest.get(1 + hashes) == Some(&b'"')).then_some(())?;
    let end = [&b"\""[..], &vec![b'#'; hashes]].concat();
    let body = &rest[2 + hashes..];
    Some(2 + hashes + body.windows(end.len()).position(|it| it == end).unwrap_or(body.len()) + end.len())
}

/// Octets of the one character in a literal; `None` for a lifetime.
fn char_len(tail: &[u8]) -> Option<usize> {
    (1..=4).find(|&len| {
        tail.get(len) == Some(&b'\'') && std::str::from_utf8(&tail[..len]).is_ok_and(|it| it.chars().count() == 1)
    })
}

/// The code with spaces in place of every item under `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    let mut blank = code.as_bytes().to_vec();
    let mut from = 0;
    while let Some(at) = ["#[cfg(test)]", "#[cfg(all(test"].iter().filter_map(|it| code[from..].find(it)).min() {
        let begin = from + at;
        let end = begin + item_len(&code[begin..]);
        blank[begin..end].iter_mut().filter(|octet| **octet != b'\n').for_each(|octet| *octet = b' ');
        from = end;
    }
    String::from_utf8(blank).expect("whole items were blanked")
}

/// To the end of the first item: its `;` or its closing brace.
fn item_len(code: &str) -> usize {
    let mut depth = 0_usize;
    for (at, octet) in code.bytes().enumerate() {
        match octet {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' => depth = depth.saturating_sub(1),
            b'}' if depth <= 1 => return at + 1,
            b'}' => depth -= 1,
            b';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}
