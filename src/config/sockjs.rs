//! SockJS services, from typed words to their meaning.

use super::raw::RawTable;
use super::{ConfigError, value};
use crate::limits::SOCKJS_SERVICES_MAX;
use crate::routes::{Path, TABLE};
use crate::transport::service::{Meaning, Service};

/// Reads all services, in order.
pub(super) fn services(tables: &[RawTable]) -> Result<Vec<Service>, ConfigError> {
    if let Some(table) = tables.get(SOCKJS_SERVICES_MAX) {
        return Err(ConfigError::new(
            &table.source,
            format!("there are more than {SOCKJS_SERVICES_MAX} SockJS services"),
        ));
    }
    let mut services: Vec<Service> = Vec::new();
    for table in tables {
        let service = service(table)?;
        if services.iter().any(|other| other.base == service.base) {
            return Err(ConfigError::new(&table.source, format!("sockjs: base {} is listed twice", service.base)));
        }
        services.push(service);
    }
    Ok(services)
}

fn service(table: &RawTable) -> Result<Service, ConfigError> {
    let (mut base, mut settings) = (None, Service::sockjs("", Meaning::Json));
    for (key, typed) in &table.fields {
        let word = typed.word();
        let set = match *key {
            "base" => base_path(word).map(|path| base = Some(path)),
            "dialect" => dialect(word).map(|dialect| settings.meaning = dialect),
            "websocket" => value::boolean(word).map(|value| settings.websocket = value),
            _ => response_len_max(word).map(|len| settings.response_len_max = len),
        };
        set.map_err(|message| ConfigError::new(&typed.source, format!("sockjs: {key} {message}")))?;
    }
    match base {
        Some(base) => Ok(Service { base: base.into(), ..settings }),
        None => Err(ConfigError::new(&table.source, "sockjs: a service needs base, such as \"/sockjs\"")),
    }
}

fn base_path(word: &str) -> Result<&str, String> {
    let is_part = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_~".contains(&byte))
    };
    let parts = word.strip_prefix('/').filter(|parts| parts.split('/').all(is_part));
    let first = parts.and_then(|parts| parts.split('/').next());
    let is_ours = TABLE.iter().any(|row| first.is_some() && first == first_segment(row.path));
    match parts {
        Some(_) if is_ours => Err(format!("is a path that the gateway uses itself: {word}")),
        Some(_) => Ok(word),
        None => Err(format!("is a path such as \"/sockjs\", without a slash at its end, not \"{word}\"")),
    }
}

fn dialect(word: &str) -> Result<Meaning, String> {
    match word {
        "json" => Ok(Meaning::Json),
        "raw" => Ok(Meaning::Raw),
        "echo" => Ok(Meaning::Echo),
        _ => Err(format!("is \"json\", \"raw\" or \"echo\", not \"{word}\"")),
    }
}

fn response_len_max(word: &str) -> Result<usize, String> {
    let len = value::size(word).and_then(|len| usize::try_from(len).ok()).filter(|len| (1..=1 << 30).contains(len));
    len.ok_or_else(|| format!("is a size from 1 byte to 1 GiB such as \"128KiB\", not \"{word}\""))
}

/// The first segment of an endpoint's path.
fn first_segment(path: Path) -> Option<&'static str> {
    let (Path::Exact(path) | Path::Topic(path, _) | Path::TopicWithout(path, _)) = path;
    path.split('/').nth(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_endpoint_can_be_the_base_of_a_service() {
        for row in TABLE {
            let first = first_segment(row.path).expect("a path has a segment");
            assert!(base_path(&format!("/{first}")).is_err() && base_path(&format!("/{first}/x")).is_err(), "{first}");
            assert!(base_path(&format!("/x/{first}")).is_ok(), "{first}");
        }
        assert!(base_path("/readyz").is_err());
    }
}
