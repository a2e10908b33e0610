//! The page at `/` of `serve`: what this is and where to look; and `/fanwire.js`, so that its console can try it.

use crate::routes::Page;

/// The client in JavaScript, as it is in `clients/js`.
pub(super) const CLIENT: Page = Page {
    path: "/fanwire.js",
    content_type: "text/javascript; charset=utf-8",
    body: include_bytes!("../../../clients/js/fanwire.js"),
};

/// The pages of `serve`, besides its endpoints.
pub(super) const PAGES: [Page; 2] =
    [Page { path: "/", content_type: "text/html; charset=utf-8", body: include_bytes!("page.html") }, CLIENT];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_one_file_that_names_endpoints_that_exist() {
        let page = std::str::from_utf8(PAGES[0].body).expect("text");
        for elsewhere in ["src=", "@import", "https://", "http://", "<link rel=\"stylesheet", "<script"] {
            assert!(!page.contains(elsewhere), "{elsewhere}");
        }
        for mark in ["href=\"/healthz\"", "href=\"/readyz\"", "href=\"/metrics\"", "/ws", "/raw/", "/sse", "/publish/"]
        {
            assert!(page.contains(mark), "{mark}");
        }
        assert!(page.contains("prefers-color-scheme: dark") && page.contains("default-src 'none'"));
    }
}
