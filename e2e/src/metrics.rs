//! What a program tells about itself over HTTP: a page of `/metrics`, as whoever scrapes it sees it.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

/// The setting that lets a program serve its metrics on any free port; its log tells which.
pub fn any_port() -> (&'static str, String) {
    ("WEIR__HEALTH__LISTEN", "127.0.0.1:0".to_owned())
}

/// Asks a program; none if it does not answer in full, because it begins or ends just then.
///
/// # Panics
/// If it answers that it cannot.
pub fn get(address: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().ok())?
    });
    (length? == body.len()).then(|| body.to_owned())
}

/// All series of one moment: their names with labels, and their values.
#[derive(Clone, Default, Debug)]
pub struct Page(BTreeMap<String, f64>);

impl Page {
    /// Asks a program; none if it does not answer in full, because it begins or ends just then.
    ///
    /// # Panics
    /// If it answers something else.
    pub fn scrape(address: SocketAddr) -> Option<Self> {
        get(address, "/metrics").map(|body| Self::parse(&body))
    }

    fn parse(body: &str) -> Self {
        let lines = body.lines().filter(|line| !line.starts_with('#'));
        let series = lines.map(|line| {
            let (name, value) = line.rsplit_once(' ').expect("a name and a value");
            (name.to_owned(), value.parse().expect("a number"))
        });
        Self(series.collect())
    }

    /// The sum of the series with this name, whatever their labels.
    pub fn sum(&self, name: &str) -> u64 {
        self.labelled(name, "")
    }

    /// Whether there is a series with this name.
    pub fn has(&self, name: &str) -> bool {
        self.0.keys().any(|series| series.split('{').next() == Some(name))
    }

    /// The sum of those among them that have this text in their labels.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts")]
    pub fn labelled(&self, name: &str, label: &str) -> u64 {
        let has = |series: &str| {
            let labels = series.strip_prefix(name);
            labels.is_some_and(|rest| {
                (rest.is_empty() || rest.starts_with('{')) && rest.contains(label)
            })
        };
        self.0.iter().filter(|(series, _)| has(series)).map(|(_, value)| *value as u64).sum()
    }

    /// A counter that is lower here than it was; none if there is no such one.
    pub fn fallen_since(&self, before: &Self) -> Option<String> {
        let is_counter =
            |series: &str| series.split('{').next().unwrap_or_default().ends_with("_total");
        let fallen = before.0.iter().find(|(series, value)| {
            is_counter(series) && self.0.get(*series).is_none_or(|now| now < value)
        });
        fallen.map(|(series, value)| format!("{series} was {value}, is {:?}", self.0.get(series)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_and_compared() {
        let page = |count| {
            let text = format!(
                "# TYPE a counter\na_total{{b=\"x\"}} {count}\na_total{{b=\"y\"}} 2\na_total_bytes 7\n"
            );
            Page::parse(&text)
        };
        assert_eq!((page(3).sum("a_total"), page(3).labelled("a_total", "\"y\"")), (5, 2));
        assert_eq!((page(3).fallen_since(&page(3)), page(4).fallen_since(&page(3))), (None, None));
        assert!(page(2).fallen_since(&page(3)).is_some());
        assert!(Page::default().fallen_since(&page(3)).is_some());
    }
}
