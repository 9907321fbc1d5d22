//! Commented TOML as sections, settings and what is said about them.
//!
//! A comment belongs to the setting or section below it; one with a blank line below belongs to the section that it is in,
//! or is one itself if it ends in an example with a head. In a comment an indented line `word  text` is an entry of a
//! list, and what is TOML itself is an example.

use anyhow::{Result, ensure};

/// A section, or what stands before the first.
#[derive(Default)]
pub(super) struct Section {
    /// `kafka.security`; empty before the first.
    pub(super) name: String,
    /// Whether it is one of several, `[[routes]]`.
    repeated: bool,
    /// Whether it is there as an example only.
    example: bool,
    pub(super) comment: Comment,
    pub(super) settings: Vec<Setting>,
    /// Comments that belong to no setting.
    pub(super) notes: Vec<Comment>,
}

impl Section {
    pub(super) fn heading(&self) -> String {
        let Self { name, repeated, .. } = self;
        if *repeated { format!("[[{name}]]") } else { format!("[{name}]") }
    }

    /// What a setting is called in the environment; nothing for entries of lists and for tables of foreign names.
    pub(super) fn variable(&self, setting: &Setting) -> Option<String> {
        let named = !self.repeated && !setting.value.starts_with('{');
        let path = self.name.split('.').filter(|part| !part.is_empty());
        let parts = path.chain([setting.name.as_str()]);
        let parts: Vec<String> =
            parts.map(|part| part.replace('-', "_").to_ascii_uppercase()).collect();
        named.then(|| format!("WEIR__{}", parts.join("__")))
    }
}

/// A setting with its default, as TOML writes it.
pub(super) struct Setting {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) comment: Comment,
}

/// Consecutive lines of comment, without their `# `.
#[derive(Default)]
pub(super) struct Comment {
    text: Vec<String>,
    /// The example at its end.
    pub(super) code: Vec<String>,
}

impl Comment {
    fn push(&mut self, line: &str) {
        let line = line.strip_prefix(' ').unwrap_or(line);
        let is_toml = line.parse::<toml::Table>().is_ok_and(|table| !table.is_empty());
        if is_toml || !self.code.is_empty() {
            self.code.push(line.to_owned());
        } else {
            self.text.push(line.to_owned());
        }
    }

    fn is_empty(&self) -> bool {
        self.text.is_empty() && self.code.is_empty()
    }

    /// The words: a line for each paragraph and each entry of a list.
    pub(super) fn prose(&self) -> String {
        let mut lines: Vec<String> = Vec::new();
        let mut fresh = true;
        let mut listing = false;
        for line in &self.text {
            let words = line.trim();
            let entry = line.starts_with(' ').then(|| words.split_once("  ")).flatten();
            match entry {
                Some((word, rest)) => lines.push(format!("`{word}` {}", rest.trim())),
                None if words.is_empty() => {}
                None if fresh || listing && !line.starts_with(' ') => lines.push(words.to_owned()),
                None => {
                    if let Some(last) = lines.last_mut() {
                        last.push(' ');
                        last.push_str(words);
                    }
                }
            }
            fresh = words.is_empty();
            listing = entry.is_some() || listing && line.starts_with(' ');
        }
        lines.join("\n")
    }
}

/// Reads the sections in their order.
pub(super) fn read(text: &str) -> Result<Vec<Section>> {
    let mut sections = vec![Section::default()];
    let mut comment = Comment::default();
    for (number, line) in (1..).zip(text.lines().chain([""])) {
        let last = sections.len() - 1;
        let section = &mut sections[last];
        if let Some(line) = line.strip_prefix('#') {
            comment.push(line);
        } else if let Some(name) = line.strip_prefix('[') {
            let name = name.trim_matches(['[', ']']).to_owned();
            let repeated = line.starts_with("[[");
            let comment = std::mem::take(&mut comment);
            sections.push(Section { name, repeated, comment, ..Section::default() });
        } else if let Some((name, value)) = line.split_once(" = ") {
            ensure!(line.parse::<toml::Table>().is_ok(), "line {number} is not one whole setting");
            ensure!(!section.example, "line {number} is not below the head of its section");
            let comment = std::mem::take(&mut comment);
            section.settings.push(Setting { name: name.into(), value: value.into(), comment });
        } else {
            ensure!(line.is_empty(), "line {number} is neither a comment nor a setting");
            let comment = std::mem::take(&mut comment);
            let head = comment.code.first().and_then(|line| line.strip_prefix('['));
            if let Some(name) = head.and_then(|line| line.strip_suffix(']')) {
                let name = name.to_owned();
                sections.push(Section { name, example: true, comment, ..Section::default() });
            } else if section.settings.is_empty() && section.comment.is_empty() {
                section.comment = comment;
            } else if !comment.is_empty() {
                section.notes.push(comment);
            }
        }
    }
    Ok(sections)
}
