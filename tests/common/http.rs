//! An HTTP response as the judge reads it.

/// One response, body and all.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    /// Reads a head, without its blank line.
    pub fn parse_head(head: &str) -> Self {
        let mut lines = head.split("\r\n");
        let status_line = lines.next().unwrap_or_default();
        let status = status_line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).and_then(|s| s.parse().ok());
        let status = status.unwrap_or_else(|| panic!("a status line of HTTP/1.1, got {status_line:?}"));
        let headers = lines.map(|line| {
            let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("a header field, got {line:?}"));
            assert!(!name.is_empty() && !name.contains([' ', '\t']), "a header field's name, got {line:?}");
            (name.to_ascii_lowercase(), value.trim().to_owned())
        });
        Self { status, headers: headers.collect(), body: Vec::new() }
    }

    /// The value of a header field that must not stand twice; the name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(other, _)| other == name).map(|(_, value)| value.as_str());
        let value = values.next();
        assert!(values.next().is_none(), "one {name} in {:?}", self.headers);
        value
    }

    /// Asserts a header field, without regard to case.
    pub fn expect_header(&self, name: &str, value: &str) -> &Self {
        let got = self.header(name);
        assert!(got.is_some_and(|got| got.eq_ignore_ascii_case(value)), "{name}: {value} wanted, got {self:?}");
        self
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body of UTF-8")
    }
}
