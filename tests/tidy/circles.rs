//! The modules of a folder import each other in one direction: from none of them a way of imports leads back to it.

use std::collections::{BTreeMap, BTreeSet};

use super::rules::{Violation, expand, violation};
use super::source::Source;

/// A module as the names from the root of its crate.
type Module = Vec<String>;

/// Circles of imports among the files under `root`. A parent that only declares its children does not import them.
pub fn circles(sources: &[Source], root: &str) -> Vec<Violation> {
    let paths: BTreeMap<Module, &Source> = sources.iter().map(|it| (module_of(&it.path, root), it)).collect();
    let imports = paths.iter().map(|(module, source)| (module, imports_of(module, source, &paths)));
    let arrows: Arrows<'_> = imports.collect();
    let in_circles = paths.iter().filter(|(module, _)| reached_from(module, &arrows).contains(module));
    in_circles.map(|(_, source)| violation(&source.path, "imports what imports it: take what both need out")).collect()
}

/// The imports of each module.
type Arrows<'a> = BTreeMap<&'a Module, Vec<&'a Module>>;

/// All direct and indirect imports of a module.
fn reached_from<'a>(from: &'a Module, arrows: &Arrows<'a>) -> BTreeSet<&'a Module> {
    let (mut found, mut waiting) = (BTreeSet::new(), vec![from]);
    while let Some(module) = waiting.pop() {
        waiting.extend(arrows[module].iter().copied().filter(|&next| found.insert(next)));
    }
    found
}

fn module_of(path: &str, root: &str) -> Module {
    let path = path.strip_prefix(root).unwrap_or(path).trim_end_matches(".rs").trim_end_matches("/mod");
    let is_root = matches!(path, "lib" | "main");
    path.split('/').filter(|_| !is_root).map(str::to_owned).collect()
}

/// The other modules that a file names, by `crate::`, `super::` or, in a parent, by the name of a child.
fn imports_of<'a>(module: &Module, source: &Source, all: &'a BTreeMap<Module, &Source>) -> Vec<&'a Module> {
    // The root declares all and names what it is made of.
    if module.is_empty() {
        return Vec::new();
    }
    let mut named: Vec<Module> = Vec::new();
    let tree_at = |at: usize| source.code.get(at..).unwrap_or_default();
    for at in source.find_words("crate::") {
        named.extend(expand(tree_at(at + "crate::".len())));
    }
    let is_first = |at: &usize| !source.code[..*at].ends_with("super::");
    for at in source.find_words("super::").filter(is_first) {
        let tree = tree_at(at).trim_start_matches("super::");
        let ups = (tree_at(at).len() - tree.len()) / "super::".len();
        let parent = &module[..module.len().saturating_sub(ups)];
        named.extend(expand(tree).into_iter().map(|names| [parent, names.as_slice()].concat()));
    }
    let children = all.keys().filter(|other| other.len() == module.len() + 1 && other.starts_with(module));
    for child in children.filter_map(|child| child.last()) {
        let is_child = |at: &usize| {
            let before = &source.code[..*at];
            !before.ends_with("::") || before.ends_with("self::")
        };
        for at in source.find_words(&format!("{child}::")).filter(is_child) {
            let names = expand(tree_at(at)).into_iter();
            named.extend(names.map(|names| [module.as_slice(), &names].concat()));
        }
    }
    // The deepest module that the names lead to.
    let found = named.iter().filter_map(|names| {
        (1..=names.len()).rev().find_map(|len| all.get_key_value(&names[..len])).map(|(other, _)| other)
    });
    found.filter(|other| *other != module).collect()
}
