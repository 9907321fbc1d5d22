//! The R-style formula that says what is predicted from what.

use std::str::FromStr;

/// A parsed formula such as `Weight ~ Length + Height + Species` or, without a constant term,
/// `y ~ 0 + x` (also `x - 1`, `-1 + x`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Formula {
    /// The name on the left.
    pub target: String,
    /// The names on the right, in order. At least one, all different.
    pub terms: Vec<String>,
    /// Whether there is a constant term.
    pub intercept: bool,
}

/// Why a text is no formula that Weir can fit.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormulaError {
    /// There is no `~`, or more than one.
    #[error("write it as `target ~ feature + feature`, with one `~`")]
    NoTilde,
    /// A name is empty.
    #[error("a name is missing beside `~`, `+` or `-`")]
    NoName,
    /// A name holds a character that no name has.
    #[error(
        "{0:?} is not the name of a field: a letter or `_`, then letters, digits, `_` and `.`; of R's notation `+`, \
         `0 +` and `- 1` are known; let the machine send transformed values and products as fields of their own"
    )]
    BadName(String),
    /// Something other than the constant term is taken out.
    #[error("`- {0}`: only `- 1` takes something out; a name with `-` cannot be used")]
    Minus(String),
    /// Every field is asked for.
    #[error("`.` for all other fields is not known: name each feature")]
    Dot,
    /// R's `factor()`.
    #[error(
        "write the bare name instead of {0:?}, and say factor = \"NAME\"; text is a factor by that setting"
    )]
    FactorCall(String),
    /// A name occurs twice.
    #[error("{0:?} occurs twice; name the target once, and each feature once")]
    Repeated(String),
    /// There is nothing on the right.
    #[error("name at least one feature on the right of `~`")]
    NoTerms,
}

impl FromStr for Formula {
    type Err = FormulaError;

    fn from_str(text: &str) -> Result<Self, FormulaError> {
        let (target, right) = text.split_once('~').ok_or(FormulaError::NoTilde)?;
        if right.contains('~') {
            return Err(FormulaError::NoTilde);
        }
        let target = name(target)?;
        let mut formula = Self { target, terms: Vec::new(), intercept: true };
        for (sign, term) in signed_terms(right) {
            match (sign, term) {
                ('+', "1") => formula.intercept = true,
                ('+', "0") | ('-', "1") => formula.intercept = false,
                ('+', term) => formula.push(name(term)?)?,
                (_, "") => return Err(FormulaError::NoName),
                (_, term) => return Err(FormulaError::Minus(term.to_owned())),
            }
        }
        if formula.terms.is_empty() {
            return Err(FormulaError::NoTerms);
        }
        Ok(formula)
    }
}

impl Formula {
    fn push(&mut self, term: String) -> Result<(), FormulaError> {
        if term == self.target || self.terms.contains(&term) {
            return Err(FormulaError::Repeated(term));
        }
        self.terms.push(term);
        Ok(())
    }
}

/// Splits `a + b - 1` into `(+, a) (+, b) (-, 1)`; the first term may have a sign too.
fn signed_terms(right: &str) -> impl Iterator<Item = (char, &str)> {
    let right = right.trim();
    let first = right.starts_with(['+', '-']);
    let (mut sign, mut rest) =
        if first { (char::from(right.as_bytes()[0]), &right[1..]) } else { ('+', right) };
    let mut done = false;
    std::iter::from_fn(move || {
        if done {
            return None;
        }
        let here = sign;
        let term = match rest.find(['+', '-']) {
            Some(at) => {
                sign = char::from(rest.as_bytes()[at]);
                let (term, after) = (&rest[..at], &rest[at + 1..]);
                rest = after;
                term
            }
            None => {
                done = true;
                rest
            }
        };
        Some((here, term.trim()))
    })
}

fn name(text: &str) -> Result<String, FormulaError> {
    let text = text.trim();
    let fine = text.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '.');
    match text {
        "" => Err(FormulaError::NoName),
        "." => Err(FormulaError::Dot),
        _ if text.starts_with("factor(") => Err(FormulaError::FactorCall(text.to_owned())),
        _ if fine => Ok(text.to_owned()),
        _ => Err(FormulaError::BadName(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, target: &str, terms: &[&str], intercept: bool) {
        let formula: Formula = text.parse().expect(text);
        assert_eq!((formula.target.as_str(), formula.intercept), (target, intercept), "{text}");
        assert_eq!(formula.terms, terms, "{text}");
    }

    #[test]
    fn reads_rs_forms() {
        check(
            "Weight ~ Length + Height + Species",
            "Weight",
            &["Length", "Height", "Species"],
            true,
        );
        check("y~x", "y", &["x"], true);
        check("y ~ 0 + x", "y", &["x"], false);
        check("y ~ x - 1", "y", &["x"], false);
        check("y ~ -1 + x", "y", &["x"], false);
        check("y ~ + x", "y", &["x"], true);
        check("y ~ 1 + x.2", "y", &["x.2"], true);
    }

    #[test]
    fn refuses_what_it_cannot_fit() {
        let check = |text: &str| text.parse::<Formula>().expect_err(text);
        assert_eq!(check("Weight"), FormulaError::NoTilde);
        assert_eq!(check("a ~ b ~ c"), FormulaError::NoTilde);
        assert_eq!(check("y ~ 1"), FormulaError::NoTerms);
        assert_eq!(check("y ~ x + x"), FormulaError::Repeated("x".into()));
        assert_eq!(check("y ~ y"), FormulaError::Repeated("y".into()));
        assert_eq!(check("y ~ x - z"), FormulaError::Minus("z".into()));
        assert_eq!(check("y ~ air-temp"), FormulaError::Minus("temp".into()));
        assert_eq!(check("y ~ ."), FormulaError::Dot);
        assert_eq!(check("y ~ x + factor(z)"), FormulaError::FactorCall("factor(z)".into()));
        for text in ["y ~", "~ x", "y ~ x +", "y ~ x + + z", "y ~ x -"] {
            assert_eq!(check(text), FormulaError::NoName, "{text}");
        }
        for text in ["y ~ a*b", "y ~ a:b", "log(y) ~ x", "y ~ 2x", "y ~ `x`", "y ~ a b", "y ~ x^2"]
        {
            assert!(matches!(check(text), FormulaError::BadName(_)), "{text}");
        }
    }
}
