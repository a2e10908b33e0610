//! Conditions of a publisher: a repeat is not published twice, and nothing was published since its last look.

use serde_json::Value;

use crate::common::{Frame, Gateway, Response, Socket};
use crate::{Case, case};

pub fn cases() -> Vec<Case> {
    [message_ids(), conditions(), hostile()].into_iter().flatten().collect()
}

fn post(topic: &str, headers: &str, body: &str) -> String {
    let len = body.len();
    format!("POST /publish/{topic} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {len}\r\n\r\n{body}")
}

fn batch(body: &str) -> String {
    format!("POST /publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn json(response: &Response) -> Value {
    serde_json::from_slice(&response.body).expect("an answer of JSON")
}

fn lines(response: &Response) -> Vec<Value> {
    response.text().lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

fn position(answer: &Value) -> String {
    format!("{}-{}", answer["epoch"].as_str().expect("an epoch"), answer["offset"].as_u64().expect("an offset"))
}

fn reader(gateway: &Gateway, topic: &str) -> Socket {
    gateway.websocket(&format!("/raw/{topic}?last=0"))
}

fn reply(socket: &mut Socket, operation: &str) -> Value {
    socket.send(Frame::text(operation));
    let (_, reply) = socket.read_message();
    serde_json::from_slice(&reply).expect("a reply of JSON")
}

fn message_ids() -> Vec<Case> {
    vec![
        case("protocol", "a repeat is answered as the first was, and not said again", |gateway| {
            let mut reader = reader(gateway, "judge.once");
            let mut socket = gateway.connect();
            let first = post("judge.once", "Fanwire-Id: a-1\r\n", "one");
            let other = post("judge.once", "Fanwire-Id: a-2\r\n", "two");
            socket.write([first.as_str(), &first, &other, &first].concat());
            let answers: Vec<Value> = (0..4).map(|_| json(&socket.expect_http_status(200))).collect();
            assert!(answers[0].get("duplicate").is_none() && answers[2].get("duplicate").is_none(), "{answers:?}");
            assert!(answers[1]["duplicate"] == true && answers[3]["duplicate"] == true, "{answers:?}");
            assert_eq!(position(&answers[1]), position(&answers[0]));
            assert_eq!(position(&answers[3]), position(&answers[0]));
            assert_ne!(position(&answers[2]), position(&answers[0]));
            reader.expect_text("one").expect_text("two");
            socket.write(post("judge.once", "", "three")).expect_http_status(200);
            reader.expect_text("three");
        }),
        case("protocol", "an id names a message in its topic, on each way to publish", |gateway| {
            let mut reader = reader(gateway, "judge.ways");
            let mut socket = gateway.connect();
            let first = json(&socket.write(post("judge.ways", "Fanwire-Id: w\r\n", "1")).expect_http_status(200));
            let elsewhere = json(&socket.write(post("judge.ways.2", "Fanwire-Id: w\r\n", "1")).expect_http_status(200));
            assert!(elsewhere.get("duplicate").is_none(), "{elsewhere}");
            let line = "{\"topic\":\"judge.ways\",\"data\":1,\"message_id\":\"w\"}\n";
            let answers = lines(&socket.write(batch(&[line, line].concat())).expect_http_status(200));
            let mut ws = gateway.websocket("/ws");
            let told = reply(&mut ws, r#"{"op":"pub","topic":"judge.ways","data":1,"message_id":"w","id":"mine"}"#);
            assert_eq!(told["id"], "mine");
            for answer in [&answers[0], &answers[1], &told["topics"]["judge.ways"]] {
                assert!(answer["duplicate"] == true && position(answer) == position(&first), "{answer}");
            }
            socket.write(post("judge.ways", "", "2")).expect_http_status(200);
            reader.expect_text("1").expect_text("2");
        }),
    ]
}

fn conditions() -> Vec<Case> {
    vec![
        case("RFC 9110 13.1.1", "a publication goes out only while the topic stands where it should", |gateway| {
            let mut reader = reader(gateway, "judge.match");
            let mut socket = gateway.connect();
            let mut put = |headers: &str, body: &str, status| {
                json(&socket.write(post("judge.match", headers, body)).expect_http_status(status))
            };
            let first = put("If-None-Match: *\r\n", "1", 200);
            let refused = put("If-None-Match: *\r\n", "x", 412);
            assert_eq!((refused["code"].as_str(), position(&refused)), (Some("bad_request"), position(&first)));
            let second = put(&format!("If-Match: \"{}\"\r\n", position(&first)), "2", 200);
            let refused = put(&format!("If-Match: {}\r\n", position(&first)), "x", 412);
            assert_eq!(position(&refused), position(&second));
            put(&format!("If-Match: {}\r\n", position(&second)), "3", 200);
            reader.expect_text("1").expect_text("2").expect_text("3");
        }),
        case("protocol", "of two that saw the same, the first is taken", |gateway| {
            let mut socket = gateway.connect();
            let first = json(&socket.write(post("judge.race", "", "1")).expect_http_status(200));
            let line = |n| {
                let at = position(&first);
                format!("{{\"topic\":\"judge.race\",\"data\":{n},\"if_match\":\"{at}\"}}\n")
            };
            let answers = lines(&socket.write(batch(&[line(2), line(3)].concat())).expect_http_status(200));
            assert_eq!(
                (answers[1]["code"].as_str(), position(&answers[1])),
                (Some("bad_request"), position(&answers[0]))
            );
            let mut ws = gateway.websocket("/ws");
            let operation = format!("{{\"op\":\"pub\",\"id\":4,{}", &line(4).trim_end()[1..]);
            let told = reply(&mut ws, &operation);
            assert!(told["op"] == "err" && told["id"] == 4 && told["code"] == "bad_request", "{told}");
            assert_eq!(position(&told), position(&answers[0]));
        }),
        case("protocol", "a repeat is known although its condition does not hold any more", |gateway| {
            let mut socket = gateway.connect();
            let request = post("judge.both-terms", "Fanwire-Id: x\r\nIf-None-Match: *\r\n", "1");
            let first = json(&socket.write(&request).expect_http_status(200));
            let repeat = json(&socket.write(&request).expect_http_status(200));
            assert!(repeat["duplicate"] == true && position(&repeat) == position(&first), "{repeat}");
        }),
        case("protocol", "a refused condition makes no topic", |gateway| {
            let mut socket = gateway.connect();
            let refused = socket.write(post("judge.no-topic", "If-Match: 1-1\r\n", "1")).expect_http_status(412);
            assert!(json(&refused).get("offset").is_none(), "{refused:?}");
            socket.write("GET /topics/judge.no-topic HTTP/1.1\r\nHost: localhost\r\n\r\n").expect_http_status(404);
        }),
    ]
}

fn hostile() -> Vec<Case> {
    let long = "x".repeat(256);
    let headers = [
        "Fanwire-Id:\r\n".to_owned(),
        "Fanwire-Id: a b\r\n".to_owned(),
        format!("Fanwire-Id: {long}\r\n"),
        "Fanwire-Id: größe\r\n".to_owned(),
        "Fanwire-Id: a\r\nFanwire-Id: a\r\n".to_owned(),
        "If-Match: *\r\n".to_owned(),
        "If-Match: \"1-1\r\n".to_owned(),
        "If-Match: W/\"1-1\"\r\n".to_owned(),
        "If-Match: \"1-1\", \"1-2\"\r\n".to_owned(),
        "If-Match: 1-1\r\nIf-Match: 1-1\r\n".to_owned(),
        "If-Match: 1-1\r\nIf-None-Match: *\r\n".to_owned(),
        "If-None-Match: \"1-1\"\r\n".to_owned(),
        "If-Match: 1-99999999999999999999\r\n".to_owned(),
    ];
    let refused = headers.into_iter().map(|header| {
        case(
            "protocol",
            format!("a publication with {:.40} is refused", header.escape_debug().to_string()),
            move |gateway| {
                gateway.connect().write(post("judge.hostile", &header, "1")).expect_http_status(400);
            },
        )
    });
    let octets = case("protocol", "an id that is no text is refused, not overlooked", |gateway| {
        let request = post("judge.hostile", "If-Match: ~~\r\n", "1").into_bytes();
        let request: Vec<u8> = request.into_iter().map(|byte| if byte == b'~' { 0xff } else { byte }).collect();
        gateway.connect().write(request).expect_http_status(400);
    });
    let fields = case("protocol", "terms of another type are told line by line", |gateway| {
        let fields = [
            "\"message_id\":1",
            "\"message_id\":\"\"",
            "\"message_id\":\"a b\"",
            "\"if_match\":1",
            "\"if_match\":\"x\"",
            "\"if_none_match\":\"x\"",
            "\"if_match\":\"1-1\",\"if_none_match\":\"*\"",
        ];
        let body: String =
            fields.iter().map(|field| format!("{{\"topic\":\"judge.hostile\",\"data\":1,{field}}}\n")).collect();
        let answers = lines(&gateway.connect().write(batch(&body)).expect_http_status(200));
        assert_eq!(answers.len(), fields.len());
        for answer in answers {
            assert!(answer["code"] == "bad_request" && answer.get("offset").is_none(), "{answer}");
        }
        gateway
            .connect()
            .write("GET /topics/judge.hostile HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .expect_http_status(404);
    });
    refused.chain([octets, fields]).collect()
}
