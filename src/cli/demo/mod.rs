//! `fanwire demo`: the gateway, real stock prices replayed into it over its own endpoints, and a page to watch them on.

mod stocks;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::thread;

use super::output::{self, Refusals};
use super::replay::{self, Feed, Pace};
use super::serve::Gateway;
use super::server_url::Server;
use super::{End, front, publisher};
use crate::command::Target;
use crate::config::{ConfigFlags, Place};
use crate::driver::{Pacer, wall_millis};
use crate::hub::{TopicRule, TopicSettings};
use crate::routes::Page;
use crate::transport::http::Role;

/// Run the gateway with real stock prices and a page to watch them on
///
/// Replays thirteen years of prices of five stocks, day after day, as JSON into the topics px.AAPL, px.FB, px.GOOG,
/// px.IBM and px.MSFT, the way any publisher would: open, high, low and close of a day are a tick each, 200 ticks a
/// second in all. Takes every flag of serve.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Trading days a second
    #[arg(long, value_name = "DAYS", default_value = "10", value_parser = parse_speed)]
    speed: f64,
    #[command(flatten)]
    config: ConfigFlags,
}

const EXAMPLES: &str = "\
Examples:
  fanwire demo
  fanwire demo --listen 127.0.0.1:9000 --speed 2
  fanwire subscribe 'px.*'                   in another terminal, while it runs";

/// The page, its styles and script, and the client that it reads with.
const PAGES: [Page; 4] = [
    Page { path: "/", content_type: "text/html; charset=utf-8", body: include_bytes!("page.html") },
    Page { path: "/demo.css", content_type: "text/css; charset=utf-8", body: include_bytes!("page.css") },
    Page { path: "/demo.js", content_type: "text/javascript; charset=utf-8", body: include_bytes!("page.js") },
    front::CLIENT,
];

/// The topics of the replay.
const PRICES: &str = "px.>";

/// Prices kept of each stock, for charts and for pages that come back: at the default speed, those of more than a
/// minute.
const HISTORY: u32 = 4_000;

/// How long the replay waits before it tries again after the gateway refused it, in milliseconds.
const RETRY_MS: u64 = 500;

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, End> {
    let gateway = Gateway::start(&arguments.config, |config| {
        config.pages.extend(PAGES);
        config.topics.push(prices_rule());
    })?;
    // The page's prices come in by HTTP, from this process.
    let plain = |is_fit: fn(Role) -> bool| {
        let mut fit = gateway.running.addrs().iter().filter(|listen| is_fit(listen.role) && !listen.is_tls);
        fit.find_map(|listen| if let Place::Tcp(addr) = &listen.place { Some(reachable(*addr)) } else { None })
    };
    let (Some(publisher), Some(addr)) = (plain(Role::may_publish), plain(Role::may_read)) else {
        let message = "the demo needs an address without TLS to publish and to read: add --listen http://127.0.0.1:0";
        return Err(End::Usage(message.to_owned()));
    };
    replay_aside(publisher, arguments.speed).map_err(|error| End::Failed(format!("cannot start a thread: {error}")))?;
    output::line(&format!("open http://{addr}/ in a browser; Ctrl-C ends the demo"))?;
    output::line("ready")?;
    Ok(gateway.run_until_end())
}

/// The rules for prices. The rules of the configuration come before them.
fn prices_rule() -> TopicRule {
    let pattern = Target::parse(PRICES).expect("a pattern");
    TopicRule { pattern, settings: TopicSettings { history: HISTORY, ..TopicSettings::default() } }
}

fn parse_speed(text: &str) -> Result<f64, String> {
    let speed = text.parse().ok().filter(|speed| (0.01..=10_000.0).contains(speed));
    speed.ok_or_else(|| "it is a number of trading days a second, from 0.01 to 10000".to_owned())
}

/// An address that this host can connect to, for one that is listened on.
fn reachable(addr: SocketAddr) -> SocketAddr {
    match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::new([127, 0, 0, 1].into(), addr.port()),
        IpAddr::V6(ip) if ip.is_unspecified() => SocketAddr::new([0, 0, 0, 0, 0, 0, 0, 1].into(), addr.port()),
        _ => addr,
    }
}

/// Replays on a thread of its own, for as long as the process lives.
fn replay_aside(addr: SocketAddr, speed: f64) -> io::Result<()> {
    let table = stocks::table().map_err(io::Error::other)?;
    let server = Server::plain(addr.to_string());
    thread::Builder::new().name("replay".to_owned()).spawn(move || {
        let mut publisher = publisher::to(&server);
        let pacer = Pacer::new();
        let mut feed = Feed::new(&table.rows, Pace::Steps(speed), stocks::first_row(&table));
        feed.passes = u64::MAX;
        loop {
            let mut refusals = Refusals::default();
            let ended = feed.run(&replay::clock(&pacer), |rows| {
                replay::publish(&mut publisher, &stocks::stamped(rows, wall_millis()), &mut refusals)
            });
            // While the gateway shuts down it refuses us, and that is as it should be.
            tracing::debug!(?ended, "the replay stopped and starts over");
            pacer.sleep_until_ms(pacer.elapsed_ms().saturating_add(RETRY_MS));
        }
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_loads_nothing_from_elsewhere() {
        let texts = PAGES.map(|page| std::str::from_utf8(page.body).expect("text"));
        let [page, styles, script, _] = texts;
        for text in [page, styles, script] {
            for elsewhere in ["@import", "https://", "http://", "url(http"] {
                assert!(!text.contains(elsewhere), "{elsewhere}");
            }
        }
        for mark in [
            "Content-Security-Policy",
            "default-src 'none'",
            "<noscript>",
            "src=\"./demo.js\"",
            "href=\"./demo.css\"",
            "id=\"state\"",
            "class=\"price\"",
        ] {
            assert!(page.contains(mark), "{mark}");
        }
        assert!(!page.contains("unsafe-inline") && !page.contains("<style"), "styles and scripts are files");
        assert!(script.contains("from \"./fanwire.js\""));
    }

    #[test]
    fn an_address_for_all_interfaces_is_reached_on_loopback() {
        let reached = |addr: &str| reachable(addr.parse().expect("an address")).to_string();
        assert_eq!(reached("0.0.0.0:8080"), "127.0.0.1:8080");
        assert_eq!(reached("[::]:8080"), "[::1]:8080");
        assert_eq!(reached("10.0.0.1:80"), "10.0.0.1:80");
    }
}
