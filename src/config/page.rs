//! `docs/CONFIGURATION.md`, made from the table of keys. A test checks that the page is up to date.

use std::fmt::Write;
use std::path::Path;
use std::{env, fs};

use super::keys::{Change, Heading, KEYS, Key, Section, Without};
use super::kind::{Kind, size, time};

/// The text of the page.
fn text() -> String {
    let mut text = INTRODUCTION.to_owned();
    for heading in Heading::ALL {
        let _ = write!(text, "\n## {}\n{HEAD}", heading.text());
        for key in KEYS.iter().filter(|key| key.heading == heading) {
            row(key, &mut text);
        }
    }
    for key in KEYS {
        let Kind::Tables(columns) = key.kind else { continue };
        let _ = write!(text, "\n## Keys of [[{}]]\n| key | value | default | |\n|---|---|---|---|\n", key.name);
        for column in columns {
            let _ = writeln!(text, "| `{}` | {} | {} | {} |", column.name, column.values, column.default, column.help);
        }
    }
    text
}

fn row(key: &Key, text: &mut String) {
    let name = match (key.section, key.kind) {
        (_, Kind::Tables(_)) => format!("[[{}]]", key.name),
        (Section::Top, _) => key.name.to_owned(),
        (section, _) => format!("{}.{}", section.name(), key.name_in_file()),
    };
    let default = match key.default {
        Without::Is(default) => format!("`{default}`"),
        Without::Said(words) => words.to_owned(),
        Without::Nothing => "none".to_owned(),
    };
    let change = match key.change {
        Change::Live => "live",
        Change::Restart => "restart",
    };
    let note = if key.note.is_empty() { String::new() } else { format!(". {}", key.note) };
    let (values, help) = (values(&key.kind), key.help);
    let _ = writeln!(text, "| `{name}` | {values} | {default} | {change} | {help}{note} |");
}

/// The possible values of a key, in words, for the page.
fn values(kind: &Kind) -> String {
    match kind {
        Kind::Count(min, max, _) | Kind::Number(min, max, _) => format!("{} to {}", grouped(*min), grouped(*max)),
        Kind::Size(min, max, _) => format!("{} to {}", spaced(&size(*min)), spaced(&size(*max))),
        Kind::Time(min, max, _) => format!("{} to {}", spaced(&time(*min)), spaced(&time(*max))),
        Kind::Bool(_) => "true or false".to_owned(),
        Kind::Word(words, _) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
        Kind::Text(values) | Kind::List(values) => (*values).to_owned(),
        Kind::Tables(_) => "tables".to_owned(),
    }
}

/// `64KiB` as `64 KiB`.
fn spaced(word: &str) -> String {
    let end = word.find(|c: char| !c.is_ascii_digit()).unwrap_or(word.len());
    let (number, unit) = word.split_at(end);
    let number = number.parse().map_or_else(|_| number.to_owned(), grouped);
    format!("{number} {unit}").trim_end().to_owned()
}

/// `1000000` as `1,000,000`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

const HEAD: &str = "| key | value | default | changes | |\n|---|---|---|---|---|\n";

const INTRODUCTION: &str = "\
# Configuration

Every key, made from the table in `src/config/keys.rs`. [OPERATING.md](OPERATING.md#configuration) says how a configuration is used.

- Every key can stand in a TOML file (`--config FILE` or `FANWIRE_CONFIG`), in the environment and in a flag. Flags win over the environment, the environment over
  the file. `limits.ping_interval` is `ping_interval` under `[limits]`, `--ping-interval` and `FANWIRE_PING_INTERVAL`; `tls.cert` is `cert` under `[tls]`, `--tls-cert` and `FANWIRE_TLS_CERT`.
- Sizes are bytes or have a unit (`B`, `KB`, `MB`, `GB` of 1,000; `KiB`, `MiB`, `GiB` of 1,024). Times have one (`ms`, `s`, `m`, `h`). Numbers may be written `1_000_000`.
- A list is an array in the file, and several words with commas between in a flag or variable. Names of files are relative to where the gateway was started.
- `live`: the next SIGHUP [changes it](OPERATING.md#changes-while-running). `restart`: the next start does.
- `fanwire check-config` prints what is in effect, and where each value was typed.
";

#[test]
fn the_page_is_what_the_table_makes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/CONFIGURATION.md");
    let made = text();
    if env::var_os("FANWIRE_WRITE_PAGES").is_some() {
        fs::write(&path, &made).expect("the page can be written");
    }
    let page = fs::read_to_string(&path).unwrap_or_default();
    let differs = made.lines().zip(page.lines().chain([""])).find(|(made, page)| made != page);
    assert!(
        page == made,
        "docs/CONFIGURATION.md is not what the table of keys makes, first at {differs:?}; this writes it:\n\
         FANWIRE_WRITE_PAGES=1 cargo nextest run --lib the_page_is_what_the_table_makes"
    );
}
