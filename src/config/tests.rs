//! Tests of the configuration as a whole: precedence, and the line for each mistake.

use clap::{Args, FromArgMatches};

use super::keys::Without;
use super::kind::Kind;
use super::*;
use crate::transport::http::{Access, Origins, Role};
use crate::transport::service::{Meaning, Service};
use crate::transport::tls::ClientAuth;

/// Loads a file's text, an environment and flags as the program would.
fn load(file: &str, environment: &[(&str, &str)], flags: &[&str]) -> Result<Config, String> {
    let command = ConfigFlags::augment_args(clap::Command::new("serve").no_binary_name(true));
    let matches = command.try_get_matches_from(flags).map_err(|error| error.to_string())?;
    let flags = ConfigFlags::from_arg_matches(&matches).map_err(|error| error.to_string())?;
    let environment: Vec<_> = environment.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    let layers = || {
        let mut raw = RawConfig::from_file("f.toml", file)?;
        raw.overlay(RawConfig::from_environment(&environment)?);
        raw.overlay(flags.to_raw()?);
        Config::resolve(raw, 3)
    };
    layers().map_err(|error| error.to_string())
}

fn good(file: &str, environment: &[(&str, &str)], flags: &[&str]) -> Config {
    load(file, environment, flags).unwrap_or_else(|error| panic!("{file:?} {environment:?} {flags:?}: {error}"))
}

#[test]
fn a_driver_is_chosen_in_the_file_the_environment_and_by_flag() {
    for (word, choice) in [("auto", DriverChoice::Auto), ("epoll", DriverChoice::Epoll), ("uring", DriverChoice::Uring)]
    {
        assert_eq!(good(&format!("driver = \"{word}\""), &[], &[]).driver, choice);
        assert_eq!(good("", &[("FANWIRE_DRIVER", word)], &[]).driver, choice);
        assert_eq!(good("driver = \"auto\"", &[("FANWIRE_DRIVER", "epoll")], &["--driver", word]).driver, choice);
    }
}

#[test]
fn nothing_typed_gives_the_documented_defaults() {
    let config = good("", &[], &[]);
    let place = Place::Tcp("127.0.0.1:8080".parse().expect("an address"));
    assert_eq!(config.listen, [Listen { place, is_tls: false, role: Role::All }]);
    assert_eq!((config.tls, config.proxies), (None, Proxies::default()));
    assert_eq!(config.shards, 3);
    assert_eq!(config.driver, DriverChoice::Auto);
    assert_eq!(config.log, LogLevel::Warn);
    assert_eq!(config.limits, Limits::default());
    assert!(!config.insecure && config.topics.is_empty() && config.pages.is_empty() && config.seed.is_none());
}

#[test]
fn the_bound_of_memory_is_a_quarter_of_what_there_is_unless_it_is_typed() {
    let len_max = |file, memory| load(file, &[], &[]).expect("valid").with_memory(memory).limits.memory_len_max;
    assert_eq!([len_max("", Some(1 << 30)), len_max("", None)], [256 << 20, 64 << 20]);
}

#[test]
fn more_cores_than_shards_can_be_are_cut_down() {
    assert_eq!(Config::resolve(RawConfig::default(), 1000).expect("valid").shards, SHARDS_MAX);
    assert_eq!(Config::resolve(RawConfig::default(), 0).expect("valid").shards, 1);
}

#[test]
fn flags_win_over_the_environment_and_the_environment_over_the_file() {
    let file = "shards = 2\nlog = \"info\"\nseed = 1\n[limits]\nping_interval = \"1s\"\nping_timeout = \"1s\"\n";
    let environment = [("FANWIRE_LOG", "debug"), ("FANWIRE_SEED", "2"), ("FANWIRE_PING_TIMEOUT", "2s")];
    let config = good(file, &environment, &["--seed", "3"]);
    assert_eq!(config.shards, 2);
    assert_eq!(config.log, LogLevel::Debug);
    assert_eq!(config.seed, Some(3));
    assert_eq!((config.limits.ping_interval_ms, config.limits.ping_timeout_ms), (1000, 2000));
}

#[test]
fn every_key_stands_in_the_file_the_environment_and_flags() {
    let command = ConfigFlags::augment_args(clap::Command::new("serve"));
    let flags: Vec<_> =
        command.get_arguments().filter_map(|arg| arg.get_long()).map(|flag| format!("--{flag}")).collect();
    let expected: Vec<_> = ["--config".to_owned()].into_iter().chain(KEYS.iter().map(Key::flag)).collect();
    assert_eq!(flags, expected);
    for key in KEYS {
        // Flags that a key needs beside it: without a snapshot file, `snapshot_interval` gives a warning.
        let (word, in_file, beside): (_, _, &[&str]) = match (key.name, key.kind) {
            ("listen", _) => ("127.0.0.1:7", "\"127.0.0.1:7\"", &[]),
            ("listeners", _) => {
                ("127.0.0.1:7 role=readers", "[{ address = \"127.0.0.1:7\", role = \"readers\" }]", &[])
            }
            ("sockjs", _) => ("/s dialect=raw", "[{ base = \"/s\", dialect = \"raw\" }]", &[]),
            ("topics", _) => ("a.> last=no", "[{ match = \"a.>\", last = false }]", &[]),
            ("tls_cert", _) => ("c", "\"c\"", &["--tls-key=k"]),
            ("tls_key", _) => ("k", "\"k\"", &["--tls-cert=c"]),
            ("tls_certificates", _) => ("d,l", "[{ cert = \"d\", key = \"l\" }]", &["--tls-cert=c", "--tls-key=k"]),
            ("tls_client_ca", _) => ("a", "\"a\"", &["--tls-cert=c", "--tls-key=k"]),
            ("tls_client_auth", _) => {
                ("optional", "\"optional\"", &["--tls-cert=c", "--tls-key=k", "--tls-client-ca=a"])
            }
            ("proxy_trusted", _) => ("10.0.0.0/8,unix:", "[\"10.0.0.0/8\", \"unix:\"]", &[]),
            ("proxy_protocol", _) => ("v1v2", "\"v1v2\"", &["--proxy-trusted=::1"]),
            ("allowed_origins", _) => ("http://a,null", "[\"http://a\", \"null\"]", &[]),
            ("server_names", _) => ("a,b", "[\"a\", \"b\"]", &[]),
            ("seed", _) => ("7", "7", &[]),
            ("snapshot", _) => ("f", "\"f\"", &[]),
            ("compression_window", _) => ("11", "11", &[]),
            (_, Kind::Count(..) | Kind::Size(..)) => ("2048", "2048", &[]),
            (_, Kind::Number(..)) => ("2", "2", &[]),
            (_, Kind::Time(..)) => ("77ms", "\"77ms\"", &[]),
            (_, Kind::Bool(_)) => ("true", "true", &[]),
            // The last word is never the default.
            (_, Kind::Word(words, _)) => (words[words.len() - 1], "", &[]),
            (name, kind) => panic!("how is {name} typed, {kind:?}?"),
        };
        let in_file = if in_file.is_empty() { format!("\"{word}\"") } else { in_file.to_owned() };
        let section = key.section.name();
        let section = if section.is_empty() { String::new() } else { format!("[{section}]\n") };
        let by_file = good(&format!("{section}{} = {in_file}", key.name_in_file()), &[], beside);
        let by_environment = good("", &[(&key.variable(), word)], beside);
        let by_flag = good("", &[], &[&[format!("{}={word}", key.flag()).as_str()], beside].concat());
        assert_eq!(meant(&by_file), meant(&by_environment), "{}", key.name);
        assert_eq!(meant(&by_file), meant(&by_flag), "{}", key.name);
        let without = load("", &[], beside).map(|config| meant(&config));
        assert_ne!(Ok(meant(&by_file)), without, "{} has no effect", key.name);
        let differs = by_file.differs_from(&good("", &[], &[]), key.change);
        assert!(differs.contains(&key.name), "{differs:?}");
    }
}

/// The rights of the clients of each listener.
fn access(config: &Config) -> Vec<Access> {
    config.names.access(&config.listen)
}

/// The meaning of a configuration, independent of the typed words.
fn meant(config: &Config) -> String {
    format!("{:?}", Config { typed: RawConfig::default(), ..config.clone() })
}

#[test]
fn what_the_table_gives_as_a_default_is_the_default() {
    let default = Config::empty(3);
    for key in KEYS {
        let (Without::Is(word), Some(in_effect)) = (key.default, key.kind.word(&default)) else { continue };
        let mut config = default.clone();
        key.kind.read(key.name, word, &mut config).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(key.kind.word(&config), Some(in_effect), "{}", key.name);
    }
}

#[test]
fn the_words_of_a_key_are_read_and_told_as_they_are() {
    for key in KEYS {
        let Kind::Word(words, _) = key.kind else { continue };
        for word in words {
            let config = good("", &[(&key.variable(), word)], &[]);
            assert_eq!(key.kind.word(&config).as_deref(), Some(*word), "{}", key.name);
            let shown = format!("{config:?}").to_lowercase();
            assert!(shown.contains(&format!(": {word}")), "{} is {word}", key.name);
        }
    }
}

#[test]
fn the_configuration_in_effect_is_a_file_that_means_the_same() {
    let file = "listen = [\"127.0.0.1:1\", \"unix:/run/\\\"f\"]\n[auth]\nallowed_origins = [\"https://a.b\"]\n\
                [limits]\nping_interval = \"1500ms\"\n[[topics]]\nmatch = \"px.>\"\nhistory = 10\nmode = \"latest\"\n\
                [tls]\ncert = \"c\"\nkey = \"k\"\n[[tls.certificates]]\ncert = \"d\"\nkey = \"l\"\n\
                [[listeners]]\naddress = \"127.0.0.1:2\"\nrole = \"readers\"\n";
    let config = good(file, &[("FANWIRE_LOG", "info")], &["--message-len-max=65536"]);
    let effective = config.effective();
    for line in [
        "listen = [\"127.0.0.1:1\", \"unix:/run/\\\"f\"]  # f.toml:1",
        "shards = 3  # default",
        "log = \"info\"  # FANWIRE_LOG",
        "[limits]",
        "message_len_max = \"64KiB\"  # --message-len-max",
        "ping_interval = \"1500ms\"  # f.toml:5",
        "[[topics]]  # f.toml:6",
    ] {
        assert!(effective.lines().any(|other| other == line), "{line} is not in\n{effective}");
    }
    assert_eq!(meant(&good(&effective, &[], &[])), meant(&config), "{effective}");
    let nothing = good("", &[], &[]);
    assert_eq!(meant(&good(&nothing.effective(), &[], &[])), meant(&nothing), "{}", nothing.effective());
}

#[test]
fn what_differs_is_told_by_kind_of_change() {
    let start = good("log = \"info\"\n[limits]\nping_interval = \"30s\"", &[], &[]);
    let file = "shards = 2\n[limits]\nconnections_max = 5\nping_interval = \"30000ms\"\n[[topics]]\nmatch = \"a\"\n";
    let later = good(file, &[], &[]);
    assert_eq!(later.differs_from(&start, Change::Live), ["log", "topics"]);
    assert_eq!(later.differs_from(&start, Change::Restart), ["shards", "connections_max"]);
    assert_eq!(start.differs_from(&start.clone(), Change::Live), [""; 0]);
}

#[test]
fn numbers_take_their_bounds_and_refuse_what_is_past_them() {
    for key in KEYS {
        let (min, max, unit) = match key.kind {
            Kind::Count(min, max, _) | Kind::Number(min, max, _) | Kind::Size(min, max, _) => (min, max, ""),
            Kind::Time(min, max, _) => (min, max, "ms"),
            _ => continue,
        };
        let variable = key.variable();
        let load = |value: u64| load("", &[(&variable, &format!("{value}{unit}"))], &[]);
        for bound in [min, max] {
            let config = load(bound).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(key.kind.number(&config), Some(bound), "{} does not fit its field", key.name);
        }
        let error = load(max + 1).expect_err("past the bound");
        let range = [format!("{variable}: {} is {min} to {max}", key.name), format!("is a number from {min} to {max}")];
        assert!(range.iter().any(|text| error.contains(text)), "{error}");
    }
}

#[test]
fn addresses_come_as_a_list_a_string_or_several_flags() {
    let port = |listen: &Listen| match &listen.place {
        Place::Tcp(addr) => addr.port(),
        Place::Unix(_) => panic!("all are addresses"),
    };
    let ports = |config: Config| config.listen.iter().map(port).collect::<Vec<_>>();
    assert_eq!(ports(good("listen = [\"127.0.0.1:1\", \"[::1]:2\"]", &[], &[])), [1, 2]);
    assert_eq!(ports(good("listen = \"localhost:3\"", &[], &[])), [3]);
    assert_eq!(ports(good("", &[("FANWIRE_LISTEN", "127.0.0.1:4, 127.0.0.1:5")], &[])), [4, 5]);
    assert_eq!(
        ports(good("listen = \"localhost:3\"", &[], &["--listen", "[::1]:6", "--listen", "127.9.9.9:7"])),
        [6, 7]
    );
    assert_eq!(ports(good("", &[], &["--listen", "0.0.0.0:8", "--insecure"])), [8]);
}

#[test]
fn allowed_origins_are_a_list_and_default_to_what_reaches_the_gateway() {
    let list = |origins: &[&str]| Origins::Listed(origins.iter().map(|origin| Box::from(*origin)).collect());
    let file = "[auth]\nallowed_origins = [\"https://a.b\", \"null\"]";
    assert_eq!(access(&good(file, &[], &[]))[0].origins, list(&["https://a.b", "null"]));
    assert_eq!(
        access(&good(file, &[("FANWIRE_ALLOWED_ORIGINS", "http://c, *")], &[]))[0].origins,
        list(&["http://c", "*"])
    );
    assert_eq!(access(&good(file, &[], &["--allowed-origins", "http://d:1"]))[0].origins, list(&["http://d:1"]));
    assert_eq!(access(&good("[auth]\nallowed_origins = []", &[], &[]))[0].origins, list(&[]));
    assert_eq!(access(&good("listen = [\"[::1]:1\", \"127.9.9.9:1\"]", &[], &[]))[0].origins, Origins::Local);
    assert_eq!(access(&good("listen = \"0.0.0.0:1\"\ninsecure = true", &[], &[]))[0].origins, Origins::Unchecked);
}

#[test]
fn with_a_certificate_bare_addresses_speak_tls_and_a_scheme_says_otherwise() {
    let file = "listen = [\"127.0.0.1:1\", \"http://127.0.0.1:2/\", \"https://[::1]:3\", \"unix:/run/f.sock\"]\n";
    let tls = "[tls]\ncert = \"c.pem\"\nkey = \"k.pem\"\n";
    let config = good(&format!("{file}{tls}"), &[], &[]);
    let said: Vec<_> = config.listen.iter().map(ToString::to_string).collect();
    assert_eq!(said, ["https://127.0.0.1:1", "http://127.0.0.1:2", "https://[::1]:3", "unix:/run/f.sock"]);
    let flags = good(file, &[], &["--tls-cert=c.pem", "--tls-key=k.pem"]);
    let environment = good(file, &[("FANWIRE_TLS_CERT", "c.pem"), ("FANWIRE_TLS_KEY", "k.pem")], &[]);
    assert_eq!((&flags.tls, &environment.tls), (&config.tls, &config.tls));
    assert_eq!(flags.listen, config.listen);
}

#[test]
fn certificates_and_proxies_stand_in_the_file_the_environment_and_flags() {
    let file = "[tls]\ncert = \"c\"\nkey = \"k\"\nclient_ca = \"a\"\nclient_auth = \"optional\"\n\
                [[tls.certificates]]\ncert = \"d\"\nkey = \"l\"\n[[tls.certificates]]\ncert = \"e\"\nkey = \"m\"\n\
                [proxy]\ntrusted = [\"10.0.0.0/8\", \"unix:\"]\nprotocol = \"v1v2\"\n";
    let config = good(file, &[], &[]);
    let tls = config.tls.clone().expect("there are certificates");
    let pair = |cert: &str, key: &str| (cert.into(), key.into());
    assert_eq!(tls.pairs, [pair("c", "k"), pair("d", "l"), pair("e", "m")]);
    assert!(matches!(tls.client_ca, Some((_, ClientAuth::Optional))));
    assert!(config.proxies.protocol && config.proxies.trusted.unix && config.proxies.trusted.networks.len() == 1);
    let environment = good(
        "",
        &[
            ("FANWIRE_TLS_CERT", "c"),
            ("FANWIRE_TLS_KEY", "k"),
            ("FANWIRE_TLS_CLIENT_CA", "a"),
            ("FANWIRE_TLS_CLIENT_AUTH", "optional"),
            ("FANWIRE_TLS_CERTIFICATES", "d,l, e,m"),
            ("FANWIRE_PROXY_TRUSTED", "10.0.0.0/8, unix:"),
            ("FANWIRE_PROXY_PROTOCOL", "v1v2"),
        ],
        &[],
    );
    let flags = "--tls-cert=c --tls-key=k --tls-client-ca=a --tls-client-auth=optional --tls-certificates=d,l \
                 --tls-certificates=e,m --proxy-trusted=10.0.0.0/8 --proxy-trusted=unix: --proxy-protocol=v1v2";
    let flags = good("", &[], &flags.split_whitespace().collect::<Vec<_>>());
    assert_eq!(meant(&environment), meant(&config));
    assert_eq!(meant(&flags), meant(&config));
}

#[test]
fn topic_rules_keep_their_order_and_flags_replace_those_of_the_file() {
    let file = "[[topics]]\nmatch = \"px.>\"\nlast = false\n[[topics]]\nmatch = \"a\"\nmode = \"queue\"\nhistory = 0\n";
    let show = |config: &Config| {
        config.topics.iter().map(|rule| (rule.pattern.as_str().to_owned(), rule.settings.last)).collect::<Vec<_>>()
    };
    let rules = |list: &[(&str, bool)]| list.iter().map(|(name, last)| (name.to_string(), *last)).collect::<Vec<_>>();
    assert_eq!(show(&good(file, &[], &[])), rules(&[("px.>", false), ("a", true)]));
    let environment = [("FANWIRE_TOPICS", "b.* last=false\n c mode=queue match=d=e")];
    assert_eq!(show(&good(file, &environment, &[])), rules(&[("b.*", false), ("c", true), ("d=e", true)]));
    let flags = ["--topics", "e last=no", "--topics", "f"];
    assert_eq!(show(&good(file, &environment, &flags)), rules(&[("e", false), ("f", true)]));
}

#[test]
fn a_foreign_variable_is_a_warning_and_an_empty_one_is_not_there() {
    let config = good(
        "",
        &[("FANWIRE_SERVICE_HOST", "10.0.0.1"), ("FANWIRE_URL", "http://x"), ("FANWIRE_CA", "ca"), ("OTHER", "1")],
        &[],
    );
    assert_eq!(config.warnings, ["FANWIRE_SERVICE_HOST: no such key; ignored"]);
    let config = good("", &[("FANWIRE_CONECTIONS_MAX", "1")], &[]);
    let hint = "FANWIRE_CONECTIONS_MAX: no such key; ignored; did you mean FANWIRE_CONNECTIONS_MAX?";
    assert_eq!(config.warnings, [hint]);
    let flags = ConfigFlags::default();
    let empty = [("FANWIRE_SHARDS".to_owned(), String::new())];
    assert_eq!(Config::load(&flags, empty, 3).expect("valid").shards, 3);
}

#[test]
fn every_mistake_in_a_file_is_one_line_with_its_place() {
    let cases = [
        ("shards = ", "f.toml:1: "),
        ("\n\nshard = 2", "f.toml:3: unknown key \"shard\", did you mean \"shards\"?"),
        ("\n\nthreads = 2", "f.toml:3: unknown key \"threads\"; the file has listen, server_names, shards, driver, "),
        ("[limits]\nconnection_max = 1", "f.toml:2: unknown key \"connection_max\", did you mean \"connections_max\"?"),
        ("[limits]\nfoo = 1", "f.toml:2: unknown key \"foo\"; [limits] has connections_max, "),
        ("[[topics]]\nmatch = \"a\"\nlasst = 1", "f.toml:3: unknown key \"lasst\", did you mean \"last\"?"),
        ("[[topics]]\nmatch = \"a\"\nkeep = 1", "f.toml:3: unknown key \"keep\"; [[topics]] has match, "),
        ("shards = 0", "f.toml:1: shards is a number from 1 to 128, not \"0\""),
        ("shards = 129", "f.toml:1: shards is a number from 1 to 128, not \"129\""),
        ("shards = [1]", "f.toml:1: shards cannot be of type array"),
        ("driver = \"kqueue\"", "f.toml:1: driver is \"auto\", \"epoll\" or \"uring\", not \"kqueue\""),
        ("log = \"loud\"", "f.toml:1: log is \"error\", \"warn\", \"info\" or \"debug\", not \"loud\""),
        ("insecure = 2", "f.toml:1: insecure is true or false, not \"2\""),
        ("seed = -1", "f.toml:1: seed is a number below 2^64, decimal or 0x, not \"-1\""),
        ("listen = []", "f.toml:1: listen needs an address, such as \"127.0.0.1:8080\""),
        ("listen = [\n\"x\"]", "f.toml:1: \"x\" is not an address and port, such as 127.0.0.1:8080 or [::1]:8080"),
        ("listen = [\"127.0.0.1:1\", \"127.0.0.1:1\"]", "f.toml:1: 127.0.0.1:1 is listed twice"),
        ("listen = \"0.0.0.0:1\"", "f.toml:1: 0.0.0.0:1 is not a loopback address, and this version has no "),
        ("listen = \"[::]:1\"", "f.toml:1: [::]:1 is not a loopback address, and this version has no "),
        ("limits = 1", "f.toml:1: limits is a table: [limits]"),
        ("topics = 1", "f.toml:1: topics is a list of tables: [[topics]]"),
        ("topics = [1]", "f.toml:1: topics is a list of tables: [[topics]]"),
        ("[limits]\nping_interval = 30", "f.toml:2: ping_interval is a duration with its unit such as \"250ms\", "),
        ("[limits]\nmessage_len_max = \"1TB\"", "f.toml:2: message_len_max is a size such as \"64KiB\" or a number "),
        ("[limits]\nconnections_max = \"x\"", "f.toml:2: connections_max is a number, not \"x\""),
        ("[[topics]]\nlast = true", "f.toml:1: topics: a rule needs match, a topic or pattern"),
        ("[[topics]]\nmatch = \"a b\"", "f.toml:2: topics: match: a topic is 1 to 255 bytes"),
        ("[[topics]]\nmatch = \"a\"\nlast = \"maybe\"", "f.toml:3: topics: last: is true or false, not \"maybe\""),
        ("[[topics]]\nmatch = \"a\"\nmode = \"any\"", "f.toml:3: topics: mode: is \"queue\", \"drop_oldest\" or "),
        ("[[topics]]\nmatch = \"a\"\nhistory = 1000001", "f.toml:3: topics: history: is a number of messages up to "),
        ("[[topics]]\nmatch = \"a\"\nhistory_ttl = 5", "f.toml:3: topics: history_ttl: is a duration with its unit "),
        ("[[topics]]\nmatch = \"a\"\nhistory_len_max = \"x\"", "f.toml:3: topics: history_len_max: is a size such as "),
        ("[auth]\nhmac_secret_file = \"s\"", "f.toml:2: hmac_secret_file of [auth] is not in this version yet"),
        ("[auth]\norigins = []", "f.toml:2: unknown key \"origins\"; [auth] has allowed_origins"),
        ("[auth]\nallowed_origins = [\"a.b\"]", "f.toml:2: \"a.b\" is not an origin, such as "),
        ("auth = 1", "f.toml:1: [auth] is not in this version yet"),
        ("shards = 2\n[tls]\ncert = \"c\"", "f.toml:3: tls: cert needs its key"),
        ("[tls]\nkey = \"k\"", "f.toml:2: tls: key needs its cert"),
        ("[tls]\ncert = \"\"\nkey = \"k\"", "f.toml:2: tls: the name of a file is empty"),
        ("[tls]\ncrt = \"c\"", "f.toml:2: unknown key \"crt\", did you mean \"cert\"?"),
        ("[tls]\npem = \"c\"", "f.toml:2: unknown key \"pem\"; [tls] has cert, key, certificates, client_ca, "),
        ("tls_cert = \"c\"", "f.toml:1: unknown key \"tls_cert\"; the file has "),
        ("tls = 1", "f.toml:1: tls is a table: [tls]"),
        (
            "[[tls.certificates]]\ncert = \"c\"",
            "f.toml:1: tls.certificates is a list of tables, each with cert and key",
        ),
        ("[tls]\ncertificates = [1]", "f.toml:2: tls.certificates is a list of tables, each with cert and key"),
        ("[tls]\nclient_ca = \"c\"", "f.toml:2: tls: client_ca needs cert and key"),
        ("[tls]\ncert = \"c\"\nkey = \"k\"\nclient_auth = \"required\"", "f.toml:4: tls: client_auth needs client_ca"),
        (
            "[tls]\ncert = \"c\"\nkey = \"k\"\nclient_ca = \"a\"\nclient_auth = \"maybe\"",
            "f.toml:5: tls: client_auth is \"required\" or \"optional\", not \"maybe\"",
        ),
        (
            "listen = \"https://127.0.0.1:1\"",
            "f.toml:1: https://127.0.0.1:1 needs a certificate: set tls.cert and tls.key",
        ),
        ("listen = \"http://0.0.0.0:1\"", "f.toml:1: 0.0.0.0:1 is not a loopback address"),
        ("listen = [\"http://127.0.0.1:1\", \"127.0.0.1:1\"]", "f.toml:1: 127.0.0.1:1 is listed twice"),
        ("listen = \"unix:\"", "f.toml:1: unix: needs a path"),
        ("listen = [\"unix:/s\", \"unix:/s\"]", "f.toml:1: unix:/s is listed twice"),
        ("[proxy]\ntrusted = [\"10.0.0.1/8\"]", "f.toml:2: proxy: trusted: \"10.0.0.1/8\" is not a network, such as "),
        ("[proxy]\nprotocol = \"v1v2\"", "f.toml:2: proxy: protocol needs trusted, the networks of the proxies"),
        (
            "[proxy]\ntrusted = [\"::1\"]\nprotocol = \"v3\"",
            "f.toml:3: proxy: protocol is \"v1v2\" or \"off\", not \"v3\"",
        ),
        ("[proxy]\ntrust = 1", "f.toml:2: unknown key \"trust\", did you mean \"trusted\"?"),
    ];
    for (file, line) in cases {
        let error = load(file, &[], &[]).expect_err(file);
        assert!(error.starts_with(line), "{file:?}\n  gives {error}\n  not   {line}");
        assert!(!error.contains('\n'), "{error:?} is one line");
    }
}

#[test]
fn a_key_that_stands_in_the_wrong_table_comes_with_the_right_one() {
    for (file, hint) in [
        ("ping_interval = 1", "; did you mean ping_interval of [limits]?"),
        ("tls_cert = 1", "; did you mean cert of [tls]?"),
        ("[limits]\nshards = 1", "; did you mean shards before any table?"),
    ] {
        let error = load(file, &[], &[]).expect_err(file);
        assert!(error.contains("unknown key") && error.ends_with(hint), "{error}");
    }
}

#[test]
fn mistakes_elsewhere_name_the_variable_or_the_flag() {
    let check = |environment: &[(&str, &str)], flags: &[&str], line: &str| {
        let error = load("", environment, flags).expect_err(line);
        assert!(error.starts_with(line), "{error}\n  not {line}");
    };
    check(&[("FANWIRE_SHARDS", "x")], &[], "FANWIRE_SHARDS: shards is a number from 1 to 128, not \"x\"");
    check(&[("FANWIRE_TLS_CERT", "x")], &[], "FANWIRE_TLS_CERT: tls: cert needs its key");
    check(&[("FANWIRE_AUTH_KEYS", "x")], &[], "FANWIRE_AUTH_KEYS: auth_keys is not in this version yet");
    check(&[], &["--tls-key", "x"], "--tls-key: tls: key needs its cert");
    check(&[], &["--proxy-protocol", "v1v2"], "--proxy-protocol: proxy: protocol needs trusted");
    check(&[("FANWIRE_TOPICS", "last=false")], &[], "FANWIRE_TOPICS: a pattern comes before last=false");
    check(&[("FANWIRE_INSECURE", "maybe")], &[], "FANWIRE_INSECURE: insecure is true or false, not \"maybe\"");
    check(&[], &["--driver", "select"], "--driver: driver is \"auto\", \"epoll\" or \"uring\", not \"select\"");
    check(&[], &["--topics", "px.> mode=newest"], "--topics: topics: mode: is \"queue\", \"drop_oldest\" or ");
    check(&[], &["--listen", "10.0.0.1:80"], "--listen: 10.0.0.1:80 is not a loopback address");
}

#[test]
fn a_mistake_is_one_line_whatever_was_typed() {
    for (file, line) in [
        ("log = \"\"\"a\nb\"\"\"", r#"f.toml:1: log is "error", "warn", "info" or "debug", not "a\nb""#),
        ("shards = \"\\u001b[2J\"", r#"f.toml:1: shards is a number from 1 to 128, not "\u{1b}[2J""#),
    ] {
        assert_eq!(load(file, &[], &[]).expect_err(file), line);
    }
    let error = load("", &[("FANWIRE_DRIVER", "x\r\ny")], &[]).expect_err("no driver");
    assert!(error.ends_with("not \"x\\r\\ny\""), "{error}");
    assert_eq!(good("", &[("FANWIRE_A\nB", "x")], &[]).warnings, ["FANWIRE_A\\nB: no such key; ignored"]);
    let raw = RawConfig::from_file("f\n.toml", "shards = 2\n[[topics]]\nmatch = \"a\"").expect("it is a file");
    let printed = Config::resolve(raw, 3).expect("it is right").effective();
    assert!(printed.contains("shards = 2  # f\\n.toml:1\n"), "{printed}");
    assert!(printed.contains("[[topics]]  # f\\n.toml:2\n"), "{printed}");
}

#[test]
fn a_file_that_cannot_be_read_names_who_asked_for_it() {
    let mut flags = ConfigFlags::default();
    flags.config = Some("/nonexistent/f.toml".into());
    let error = Config::load(&flags, [], 1).expect_err("there is no such file").to_string();
    assert!(error.starts_with("--config: cannot read /nonexistent/f.toml: "), "{error}");
    let environment = [("FANWIRE_CONFIG".to_owned(), "/nonexistent/g.toml".to_owned())];
    let error = Config::load(&ConfigFlags::default(), environment, 1).expect_err("nor this").to_string();
    assert!(error.starts_with("FANWIRE_CONFIG: cannot read /nonexistent/g.toml: "), "{error}");
}

#[test]
fn services_of_sockjs_have_paths_of_their_own() {
    let file = "[[sockjs]]\nbase = \"/sockjs\"\n[[sockjs]]\nbase = \"/feed/raw\"\ndialect = \"raw\"\nwebsocket = false\n\
                response_len_max = \"4KiB\"\n";
    let config = good(file, &[], &[]);
    let raw = Service { websocket: false, response_len_max: 4096, ..Service::sockjs("/feed/raw", Meaning::Raw) };
    assert_eq!(config.services, [Service::sockjs("/sockjs", Meaning::Json), raw]);
    for (file, message) in [
        ("[[sockjs]]\ndialect = \"json\"", "f.toml:1: sockjs: a service needs base, such as \"/sockjs\""),
        ("[[sockjs]]\nbase = \"/a\"\n[[sockjs]]\nbase = \"/a\"", "f.toml:3: sockjs: base /a is listed twice"),
        (
            "[[sockjs]]\nbase = \"/a\"\ndialect = \"stomp\"",
            "f.toml:3: sockjs: dialect is \"json\", \"raw\" or \"echo\", not \"stomp\"",
        ),
        ("[[sockjs]]\nbase = \"/ws\"", "f.toml:2: sockjs: base is a path that the gateway uses itself: /ws"),
        ("[[sockjs]]\nbase = \"/a\"\nresponse_len_max = 0", "f.toml:3: sockjs: response_len_max is a size from 1 byte"),
    ] {
        let error = load(file, &[], &[]).expect_err(file);
        assert!(error.contains(message), "{file}: {error}");
    }
    for base in ["", "a", "/", "/a/", "//a", "/a b", "/a?b", "/a.b"] {
        let file = format!("[[sockjs]]\nbase = \"{base}\"");
        let error = load(&file, &[], &[]).expect_err(&file);
        assert!(error.contains("sockjs: base is a path such as"), "{base}: {error}");
    }
}

#[test]
fn listeners_have_roles_beside_the_addresses_for_all() {
    let roles = |config: Config| {
        let listen = config.listen.iter().map(|listen| (listen.to_string(), listen.role));
        listen.collect::<Vec<_>>()
    };
    let of = |addr: &str, role| (addr.to_owned(), role);
    let file = "[[listeners]]\naddress = \"0.0.0.0:1\"\nrole = \"readers\"\n\
                [[listeners]]\naddress = \"unix:/run/f.sock\"\nrole = \"publishers\"\n";
    let expected = [of("http://0.0.0.0:1", Role::Readers), of("unix:/run/f.sock", Role::Publishers)];
    assert_eq!(roles(good(file, &[], &[])), expected);
    let with_listen = format!("listen = \"127.0.0.1:2\"\n{file}");
    assert_eq!(roles(good(&with_listen, &[], &[]))[0], of("http://127.0.0.1:2", Role::All));
    let words = "0.0.0.0:1 role=readers unix:/run/f.sock role=publishers";
    assert_eq!(roles(good("", &[("FANWIRE_LISTENERS", words)], &[])), expected);
    let flags = ["--listeners", "0.0.0.0:1 role=readers", "--listeners", "unix:/run/f.sock role=publishers"];
    assert_eq!(roles(good("", &[], &flags)), expected);
    let tls = "[tls]\ncert = \"c\"\nkey = \"k\"\n[[listeners]]\naddress = \"127.0.0.1:1\"\n";
    assert_eq!(roles(good(tls, &[], &[])), [of("https://127.0.0.1:1", Role::All)]);
    assert_eq!(roles(good(&format!("{tls}tls = false\n"), &[], &[])), [of("http://127.0.0.1:1", Role::All)]);
    for (file, message) in [
        ("[[listeners]]\nrole = \"all\"", "f.toml:1: listeners: a listener needs address, such as 127.0.0.1:8080"),
        (
            "[[listeners]]\naddress = \"127.0.0.1:1\"\nrole = \"reader\"",
            "f.toml:3: listeners: role is \"readers\", \"publishers\" or \"all\", not \"reader\"",
        ),
        ("[[listeners]]\naddress = \"127.0.0.1:1\"\ntls = true", "f.toml:2: https://127.0.0.1:1 needs a certificate"),
        (
            "[[listeners]]\naddress = \"unix:/a\"\ntls = true",
            "f.toml:2: listeners: tls needs an address without a scheme",
        ),
        ("[[listeners]]\nport = 1", "f.toml:2: unknown key \"port\"; [[listeners]] has address, role, tls"),
        ("listeners = 1", "f.toml:1: listeners is a list of tables: [[listeners]]"),
        ("[[listeners]]\naddress = \"0.0.0.0:1\"\nrole = \"publishers\"", "0.0.0.0:1 is not a loopback address"),
        ("listen = \"127.0.0.1:1\"\n[[listeners]]\naddress = \"127.0.0.1:1\"", "f.toml:2: 127.0.0.1:1 is listed twice"),
        ("server_names = [\"a.b:80\"]", "f.toml:1: \"a.b:80\" is not a name, such as \"push.example.com\""),
    ] {
        let error = load(file, &[], &[]).expect_err(file);
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn each_listener_answers_to_its_own_names_and_pages() {
    let config = good("listen = [\"127.0.0.1:1\", \"0.0.0.0:2\", \"unix:/a\"]\ninsecure = true", &[], &[]);
    let local: Vec<_> = access(&config).iter().map(|access| access.hosts.is_loopback).collect();
    assert_eq!(local, [true, false, false]);
    let origins: Vec<_> = access(&config).into_iter().map(|access| access.origins).collect();
    assert_eq!(origins, [Origins::Local, Origins::Unchecked, Origins::Unchecked]);
    let names = |config: Config| access(&config)[0].hosts.names.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(names(good("server_names = [\"push.example\", \"a\"]", &[], &[])), ["push.example", "a"]);
    assert_eq!(names(good("", &[("FANWIRE_SERVER_NAMES", "b,c")], &["--server-names", "d"])), ["d"]);
}

#[test]
fn topics_that_nobody_could_publish_to_are_a_warning() {
    let rule = "[[topics]]\nmatch = \"px.>\"\npublish = false\n";
    let config = good(rule, &[], &[]);
    assert!(!config.topics[0].settings.publish && config.warnings.len() == 1, "{:?}", config.warnings);
    let with_listener = format!("{rule}[[listeners]]\naddress = \"127.0.0.1:1\"\nrole = \"publishers\"\n");
    assert!(good(&with_listener, &[], &[]).warnings.is_empty());
}
