//! SockJS services, from typed words to their meaning.

use super::raw::RawTable;
use super::{ConfigError, value};
use crate::limits::SOCKJS_SERVICES_MAX;
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
    let is_ours = parts.and_then(|parts| parts.split('/').next()).is_some_and(|first| OURS.contains(&first));
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

/// First path segments that the gateway uses itself.
const OURS: [&str; 10] = ["ws", "raw", "echo", "sse", "stream", "poll", "publish", "topics", "metrics", "healthz"];
