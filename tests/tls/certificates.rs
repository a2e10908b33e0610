//! Which certificate a client gets, what happens when the files change, and files that are of no use.

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::version::TLS13;

use crate::common::authority::{Authority, Folder};
use crate::common::{Socket, program};
use crate::{World, assert_echo, shown, wait_for};

#[test]
fn the_name_that_a_client_asks_for_chooses_the_certificate() {
    let (authority, folder) = (Authority::new(), Folder::new());
    let first = authority.issue(&["localhost"]);
    let other = authority.issue(&["other.example", "*.wild.example"]);
    let files = [folder.write("o.pem", &other.cert), folder.write("o.key", &other.key)].join(",");
    let world = World::in_folder(folder, authority, &first, &["--tls-certificates", &files]);
    let config = world.client();
    for (name, wanted) in [
        ("localhost", Some(&first)),
        ("other.example", Some(&other)),
        ("a.wild.example", Some(&other)),
        // It gets the first, which is not for that name.
        ("unknown.example", None),
    ] {
        let mut socket = world.connect_as(&config, name);
        match wanted {
            Some(wanted) => {
                socket.open("/echo");
                assert_echo(&mut socket, name);
                assert_eq!(shown(&mut socket), wanted.der.to_vec(), "{name}");
            }
            None => assert_refused(&mut socket),
        }
    }
}

#[test]
fn clients_have_to_show_who_they_are_where_that_is_required() {
    for (auth, anonymous_may) in [("required", false), ("optional", true)] {
        let (authority, folder, clients) = (Authority::new(), Folder::new(), Authority::new());
        let issued = authority.issue(&["localhost"]);
        let ca = folder.write("ca.pem", &clients.pem());
        let arguments = ["--tls-client-ca", &ca, "--tls-client-auth", auth];
        let world = World::in_folder(folder, authority, &issued, &arguments);
        let known = world.authority.client(&TLS13, Some(&clients.issue(&["client"])));
        let mut socket = world.connect_as(&known, "localhost");
        socket.open("/echo");
        let stranger = world.authority.client(&TLS13, Some(&Authority::new().issue(&["client"])));
        assert_refused(&mut world.connect_as(&stranger, "localhost"));
        let mut anonymous = world.connect();
        if anonymous_may {
            anonymous.open("/echo");
        } else {
            assert_refused(&mut anonymous);
        }
    }
}

/// The handshake comes to nothing, on either side.
fn assert_refused(socket: &mut Socket) {
    use std::io::{Read, Write};
    let wire = socket.wire();
    let _ = wire.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let mut heard = Vec::new();
    assert!(wire.read_to_end(&mut heard).is_err(), "no answer wanted, got {}", String::from_utf8_lossy(&heard));
}

#[test]
fn new_files_are_taken_without_dropping_anyone_and_bad_ones_are_not() {
    let world = World::new(&["--shards", "2"]);
    let mut early = world.websocket("/echo");
    assert_echo(&mut early, "before");
    let old = shown(&mut early);

    // By a signal.
    let second = world.authority.issue(&["localhost"]);
    replace(&world, &second.cert, &second.key);
    world.gateway.signal("HUP");
    wait_for(|| world.metric("fanwire_tls_reloads_total") >= 1);
    let mut late = world.websocket("/echo");
    assert_eq!(shown(&mut late), second.der.to_vec());
    assert_ne!(shown(&mut late), old);
    assert_echo(&mut early, "behind");

    // A key of somebody else's, and no certificate at all: the second pair stays.
    let failures = || world.metric("fanwire_tls_reload_failures_total");
    let third = world.authority.issue(&["localhost"]);
    replace(&world, &third.cert, &second.key);
    world.gateway.signal("HUP");
    wait_for(|| failures() >= 1);
    assert_eq!(shown(&mut world.websocket("/echo")), second.der.to_vec());
    let expired = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
    let expired = world.authority.issue_for(&["localhost"], expired, (-30, -1));
    replace(&world, &expired.cert, &expired.key);
    let before = failures();
    world.gateway.signal("HUP");
    wait_for(|| failures() > before);
    assert_eq!(shown(&mut world.websocket("/echo")), second.der.to_vec());

    // Without a signal: the files are looked at now and then.
    replace(&world, &third.cert, &third.key);
    wait_for(|| shown(&mut world.websocket("/echo")) == third.der.to_vec());
    assert_echo(&mut early, "still");
    assert_echo(&mut late, "still");
}

fn replace(world: &World, cert: &str, key: &str) {
    world.folder.write("cert.pem", cert);
    world.folder.write("key.pem", key);
}

#[test]
fn files_of_no_use_are_one_line_and_exit_code_2() {
    let (authority, folder) = (Authority::new(), Folder::new());
    let issue = |days| {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
        authority.issue_for(&["localhost"], key, days)
    };
    let (good, other, old, early) = (issue((-1, 30)), issue((-1, 30)), issue((-30, -2)), issue((2, 30)));
    for (cert, key, part) in [
        (&good.cert, &other.key, "key.pem: is not the key of the certificate in"),
        (&old.cert, &old.key, "cert.pem: the certificate has expired"),
        (&early.cert, &early.key, "cert.pem: the certificate is not valid yet"),
        (&good.key, &good.key, "cert.pem: there is no certificate in it"),
        (&good.cert, &good.cert, "key.pem: there is no private key in it"),
        (&String::new(), &good.key, "cert.pem: there is no certificate in it"),
    ] {
        let (cert, key) = (folder.write("cert.pem", cert), folder.write("key.pem", key));
        assert_exit_2(&cert, &key, part);
    }
    assert_exit_2(&folder.file("absent"), &folder.file("key.pem"), "absent: No such file");
}

fn assert_exit_2(cert: &str, key: &str, part: &str) {
    let mut command = program();
    command.args(["serve", "--listen", "127.0.0.1:0", "--tls-cert", cert, "--tls-key", key]);
    let output = command.output().expect("the program starts");
    let err = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(2), "{err}");
    assert!(err.starts_with("fanwire: ") && err.contains(part) && err.lines().count() == 1, "{err}\n not {part}");
    assert!(output.stdout.is_empty());
}
