//! Texts with named places: `weir-ack/{line}/{device}`.
//!
//! Pure: no I/O.

use std::fmt;

/// A text with named places.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Part {
    Text(String),
    Name(String),
}

/// A text that is no template.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TemplateError {
    /// A brace without its partner, or a name that is none.
    #[error("{0:?}: a name stands in braces, and consists of letters, digits, '-' and '_'")]
    Braces(String),
    /// A name that nothing gives a value to.
    #[error("{template:?}: {{{name}}} is no level of the topic")]
    UnknownName {
        /// The whole.
        template: String,
        /// The name.
        name: String,
    },
}

impl Template {
    /// Reads one.
    ///
    /// # Errors
    /// If its braces do not match, or hold no name.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let wrong = || TemplateError::Braces(text.to_owned());
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, behind) = after.split_once('}').ok_or_else(wrong)?;
            if before.contains('}') || !is_name(name) {
                return Err(wrong());
            }
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(Part::Name(name.to_owned()));
            rest = behind;
        }
        if rest.contains('}') {
            return Err(wrong());
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self { parts })
    }

    /// The names in it, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Name(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// Whether each of its names is one of these.
    ///
    /// # Errors
    /// The first that is not.
    pub fn check(&self, known: &[&str]) -> Result<(), TemplateError> {
        match self.names().find(|name| !known.contains(name)) {
            None => Ok(()),
            Some(name) => {
                let (template, name) = (self.to_string(), name.to_owned());
                Err(TemplateError::UnknownName { template, name })
            }
        }
    }

    /// The text with values in the places of the names; nothing in the place of a name without a value.
    pub fn fill(&self, values: &[(&str, &str)]) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Name(name) => {
                let value = values.iter().find(|(known, _)| known == name);
                value.map_or_else(String::new, |(_, value)| (*value).to_owned())
            }
        };
        self.parts.iter().map(part).collect()
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(text),
            Part::Name(name) => write!(f, "{{{name}}}"),
        })
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_filled_in() {
        let template = Template::parse("weir-ack/{line}/{device}").expect("valid");
        assert_eq!(template.fill(&[("device", "gate"), ("line", "l 1")]), "weir-ack/l 1/gate");
        assert_eq!(template.names().collect::<Vec<_>>(), ["line", "device"]);
        assert_eq!(template.to_string(), "weir-ack/{line}/{device}");
        assert_eq!(template.check(&["line", "device", "x"]), Ok(()));
        assert!(template.check(&["line"]).is_err());
        assert_eq!(Template::parse("plain").expect("valid").fill(&[]), "plain");
    }

    #[test]
    fn braces_hold_a_name() {
        for wrong in ["{", "}", "{}", "a{b", "a}b", "{a{b}", "{a}}", "{a b}", "{ä}"] {
            assert_eq!(Template::parse(wrong), Err(TemplateError::Braces(wrong.into())), "{wrong}");
        }
    }
}
