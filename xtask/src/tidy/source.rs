//! Rules for Rust sources. They look at tokens, so that comments and strings may say anything.

use std::str::FromStr;

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

use super::rules::{CONFINED, UNFINISHED};
use super::{File, Finding};

pub(super) fn check(file: &File, findings: &mut Vec<Finding>) {
    if !file.text.starts_with("//!") {
        let cure = "begin with `//!`: what the module is for, what it does not do, its invariants";
        findings.push(file.finding(1, "the file has no head".into(), cure));
    }
    match TokenStream::from_str(&file.text) {
        Ok(tokens) => {
            Scan { file, findings }.tokens(tokens, is_test_file(&file.path));
        }
        Err(error) => {
            let line = error.span().start().line;
            findings.push(file.finding(line, format!("not Rust: {error}"), "mend the file"));
        }
    }
}

/// Whether a whole file is test code.
fn is_test_file(path: &str) -> bool {
    let directory = |name: &str| path.split('/').any(|part| part == name);
    directory("tests") || directory("benches") || path.ends_with("/tests.rs")
}

struct Scan<'a> {
    file: &'a File,
    findings: &'a mut Vec<Finding>,
}

impl Scan<'_> {
    fn tokens(&mut self, tokens: TokenStream, in_test: bool) {
        let mut tokens = tokens.into_iter().peekable();
        // Between `#[cfg(test)]` and the end of the item that it applies to.
        let mut test_item = false;
        while let Some(token) = tokens.next() {
            let in_test = in_test || test_item;
            match token {
                TokenTree::Ident(ident) => {
                    let is_macro = matches!(
                        tokens.peek(), Some(TokenTree::Punct(next)) if next.as_char() == '!'
                    );
                    self.name(&ident, is_macro, in_test);
                }
                TokenTree::Punct(punct) if punct.as_char() == '#' => {
                    if let Some(TokenTree::Group(attribute)) = tokens.peek() {
                        test_item |= self.attribute(attribute);
                    }
                }
                TokenTree::Punct(punct) => test_item &= punct.as_char() != ';',
                TokenTree::Group(group) => {
                    self.tokens(group.stream(), in_test);
                    test_item &= group.delimiter() != Delimiter::Brace;
                }
                TokenTree::Literal(_) => {}
            }
        }
    }

    fn name(&mut self, ident: &proc_macro2::Ident, is_macro: bool, in_test: bool) {
        let name = ident.to_string();
        let line = ident.span().start().line;
        for confined in CONFINED {
            let is_named =
                confined.packages.iter().any(|package| package.replace('-', "_") == name);
            if is_named && !confined.places.iter().any(|place| self.file.path.starts_with(place)) {
                let cure = format!("only {} may; use what it offers", confined.places.join(", "));
                self.report(line, format!("`{name}` is named here"), &cure);
            }
        }
        if is_macro && UNFINISHED.contains(&name.as_str()) {
            self.report(line, format!("`{name}!` stays in the code"), "finish it, or delete it");
        }
        if name == "unwrap" && !in_test {
            let cure = "return an error, or `expect(\"why it holds\")`";
            self.report(line, "`unwrap` outside tests".into(), cure);
        }
    }

    /// Whether it is `#[cfg(test)]`.
    fn attribute(&mut self, attribute: &Group) -> bool {
        let mut parts = attribute.stream().into_iter();
        let Some(TokenTree::Ident(name)) = parts.next() else { return false };
        if name == "ignore" {
            let cure = "run it or delete it: a test that is skipped silently tests nothing";
            self.report(name.span().start().line, "an ignored test".into(), cure);
        }
        let is_cfg = name == "cfg";
        is_cfg
            && matches!(parts.next(), Some(TokenTree::Group(condition)) if condition.stream().to_string() == "test")
    }

    fn report(&mut self, line: usize, wrong: String, cure: &str) {
        self.findings.push(self.file.finding(line, wrong, cure));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found in a file, as `line: what is wrong`.
    fn found(path: &str, text: &str) -> Vec<String> {
        let file = File { path: path.into(), text: text.into() };
        let mut findings = Vec::new();
        check(&file, &mut findings);
        findings.iter().map(|finding| format!("{}: {}", finding.line, finding.wrong)).collect()
    }

    const NONE: [&str; 0] = [];

    #[test]
    fn a_confined_crate_is_found_outside_its_place() {
        let text = "//! Head.\nuse std::fmt;\nfn f() { rdkafka::Message::new() }\n";
        assert_eq!(found("bridge/src/kafka.rs", text), ["3: `rdkafka` is named here"]);
        assert_eq!(found("crates/kafka/src/poll.rs", text), NONE);
        assert_eq!(found("crates/embedded/src/kafka.rs", text), NONE);
        assert_eq!(found("crates/embedded/src/mqtt.rs", text).len(), 1);
        let text = "//! Head.\nuse wasmtime_wizer::Wizer;\n";
        assert_eq!(found("host/src/x.rs", text), ["2: `wasmtime_wizer` is named here"]);
    }

    #[test]
    fn comments_and_strings_may_name_anything() {
        let text = "//! No rdkafka.\n/// Not redb.\nconst A: &str = \"wasmtime\"; // rumqttc\n";
        assert_eq!(found("bridge/src/lib.rs", text), NONE);
    }

    #[test]
    fn unfinished_code_is_found_in_tests_too() {
        let text = "//! Head.\nfn f() {\n    todo!();\n}\n#[test]\n#[ignore = \"slow\"]\nfn t() { dbg!(1); }\n";
        let expected =
            ["3: `todo!` stays in the code", "6: an ignored test", "7: `dbg!` stays in the code"];
        assert_eq!(found("host/tests/x.rs", text), expected);
        assert_eq!(found("host/src/x.rs", "//! Head.\nfn todo(dbg: u8) {}\n"), NONE);
    }

    #[test]
    fn unwrap_is_found_outside_tests_only() {
        let text = "//! Head.\nfn f() { g().unwrap(); }\n#[cfg(test)]\nmod tests { fn t() { g().unwrap() } }\nfn h() { i.map(Option::unwrap); }\n";
        let expected = ["2: `unwrap` outside tests", "5: `unwrap` outside tests"];
        assert_eq!(found("host/src/x.rs", text), expected);
        assert_eq!(found("host/tests/x.rs", text), NONE);
        assert_eq!(found("host/src/x.rs", "//! Head.\nfn f() { g().unwrap_or(1); }\n"), NONE);
        let elsewhere = "//! Head.\n#[cfg(test)]\nmod tests;\nfn f() { g().unwrap() }\n";
        assert_eq!(found("host/src/x.rs", elsewhere), ["4: `unwrap` outside tests"]);
    }

    #[test]
    fn a_file_begins_with_its_head() {
        assert_eq!(found("host/src/x.rs", "use a::b;\n"), ["1: the file has no head"]);
        assert_eq!(found("host/src/x.rs", "//! Head.\nfn f( {}\n").len(), 1);
    }
}
