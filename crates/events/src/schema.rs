//! The schema: which fields of a payload mean what on this line.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::formula::{Formula, FormulaError};

/// The `[schema]` section of a configuration, as written. [`Schema`] is the checked form.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SchemaConfig {
    /// R-style: `Weight ~ Length + Height + Species`; `y ~ 0 + x` has no constant term.
    pub formula: String,
    /// Which term of the formula is the factor (text); the others are numeric. Empty for none.
    #[serde(default)]
    pub factor: String,
    /// The fields, or named levels of the MQTT topic (`line`, `device`), that compose the key.
    pub key: Vec<String>,
    /// The field that holds the event time.
    pub timestamp: String,
    /// The range a number must lie in, by column.
    #[serde(default)]
    pub range: BTreeMap<String, Range>,
}

/// A closed range; an absent end is open.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// The smallest value that is accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// The largest value that is accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
}

impl Range {
    /// Whether the value lies in the range. NaN lies in none.
    pub fn contains(&self, value: f64) -> bool {
        self.min.is_none_or(|min| value >= min)
            && self.max.is_none_or(|max| value <= max)
            && !value.is_nan()
    }
}

/// A checked schema.
#[derive(Clone, PartialEq, Debug)]
pub struct Schema {
    /// The field that is predicted and later measured.
    pub target: String,
    /// The numeric fields, in the order of the formula. At least one.
    pub features: Vec<String>,
    /// The field whose text is a level of the factor.
    pub factor: Option<String>,
    /// Whether the model has a constant term.
    pub intercept: bool,
    /// The fields or MQTT levels that compose the key. At least one.
    pub key: Vec<String>,
    /// The field that holds the event time.
    pub timestamp: String,
    ranges: BTreeMap<String, Range>,
}

/// Why a schema is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// The formula cannot be read.
    #[error("schema.formula: {0}")]
    Formula(#[source] FormulaError),
    /// The factor is not a term of the formula.
    #[error("schema.factor: {0:?} is not a term of the formula; upper and lower case count")]
    FactorNotInFormula(String),
    /// Only the factor is on the right.
    #[error("schema.formula: at least one numeric feature is needed beside the factor")]
    NoFeature,
    /// The key is empty.
    #[error("schema.key: names no field; give those that join a measurement with its target")]
    NoKey,
    /// A field has two roles.
    #[error(
        "schema: {0:?} is used for two purposes; terms, target, key and timestamp are different fields"
    )]
    Repeated(String),
    /// The name is one that Weir writes itself.
    #[error("schema: {0:?} is a name that Weir's own records use; give the field another")]
    Reserved(String),
    /// A range names no numeric column of the formula.
    #[error("schema.range.{0}: is not a numeric column of the formula")]
    RangeOfUnknown(String),
    /// A range holds nothing.
    #[error("schema.range.{0}: min is above max, or an end is not finite")]
    EmptyRange(String),
}

/// Field names that Weir's own records use beside those of the schema.
const RESERVED: [&str; 9] = [
    "Key",
    "Id",
    "Prediction",
    "Error",
    "Reason",
    "ModelTime",
    "ModelVersion",
    "ModelDigest",
    "MeasuredAt",
];

impl SchemaConfig {
    /// The original pipeline's fish: weight from length, height and species.
    pub fn fish() -> Self {
        let above_zero = Range { min: Some(0.0), max: None };
        Self {
            formula: "Weight ~ Length + Height + Species".into(),
            factor: "Species".into(),
            key: vec!["Fish_Id".into()],
            timestamp: "Timestamp".into(),
            range: ["Length", "Height"].into_iter().map(|name| (name.into(), above_zero)).collect(),
        }
    }
}

impl TryFrom<&SchemaConfig> for Schema {
    type Error = SchemaError;

    fn try_from(config: &SchemaConfig) -> Result<Self, SchemaError> {
        let formula: Formula = config.formula.parse().map_err(SchemaError::Formula)?;
        let factor = (!config.factor.is_empty()).then(|| config.factor.clone());
        if let Some(factor) = &factor
            && !formula.terms.contains(factor)
        {
            return Err(SchemaError::FactorNotInFormula(factor.clone()));
        }
        let features = formula.terms.iter().filter(|&term| Some(term) != factor.as_ref());
        let schema = Self {
            target: formula.target.clone(),
            features: features.cloned().collect(),
            factor,
            intercept: formula.intercept,
            key: config.key.clone(),
            timestamp: config.timestamp.clone(),
            ranges: config.range.clone(),
        };
        schema.check()?;
        Ok(schema)
    }
}

impl Schema {
    fn check(&self) -> Result<(), SchemaError> {
        if self.features.is_empty() {
            return Err(SchemaError::NoFeature);
        }
        if self.key.is_empty() || self.key.iter().any(String::is_empty) {
            return Err(SchemaError::NoKey);
        }
        let mut seen = std::collections::BTreeSet::new();
        let names = self.features.iter().chain(&self.factor).chain(&self.key);
        for name in names.chain([&self.target, &self.timestamp]) {
            if RESERVED.contains(&name.as_str()) {
                return Err(SchemaError::Reserved(name.clone()));
            }
            if !seen.insert(name) {
                return Err(SchemaError::Repeated(name.clone()));
            }
        }
        for (name, range) in &self.ranges {
            if !self.features.contains(name) && *name != self.target {
                return Err(SchemaError::RangeOfUnknown(name.clone()));
            }
            let ends = [range.min, range.max];
            let empty = matches!(ends, [Some(min), Some(max)] if min > max);
            if empty || ends.iter().flatten().any(|end| !end.is_finite()) {
                return Err(SchemaError::EmptyRange(name.clone()));
            }
        }
        Ok(())
    }

    /// The range of a numeric column; open on both sides where the configuration names none.
    pub fn range(&self, column: &str) -> Range {
        self.ranges.get(column).copied().unwrap_or_default()
    }

    /// The formula in R's notation.
    pub fn formula(&self) -> String {
        let mut terms: Vec<&str> =
            self.features.iter().chain(&self.factor).map(String::as_str).collect();
        if !self.intercept {
            terms.insert(0, "0");
        }
        format!("{} ~ {}", self.target, terms.join(" + "))
    }

    /// The name of the key's last component, the one that people call the event's id.
    pub fn id_field(&self) -> &str {
        self.key.last().map_or("", String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fish_schema_is_the_originals() {
        let schema = Schema::try_from(&SchemaConfig::fish()).expect("valid");
        assert_eq!(schema.features, ["Length", "Height"]);
        assert_eq!(schema.formula(), "Weight ~ Length + Height + Species");
        assert!(!schema.range("Length").contains(-1.0) && schema.range("Weight").contains(-1.0));
    }

    #[test]
    fn another_line_is_a_config() {
        let config = SchemaConfig {
            formula: "kWh ~ 0 + Temperature + Load".into(),
            factor: String::new(),
            key: vec!["line".into(), "Batch".into()],
            timestamp: "At".into(),
            range: BTreeMap::new(),
        };
        let schema = Schema::try_from(&config).expect("valid");
        assert_eq!(
            (schema.id_field(), schema.intercept, schema.factor.is_none()),
            ("Batch", false, true)
        );
    }

    #[test]
    fn contradictions_are_refused() {
        let check = |change: fn(&mut SchemaConfig), expected: SchemaError| {
            let mut config = SchemaConfig::fish();
            change(&mut config);
            assert_eq!(Schema::try_from(&config).expect_err("refused"), expected);
        };
        let range = |min, max| Range { min, max };
        check(|c| c.factor = "Colour".into(), SchemaError::FactorNotInFormula("Colour".into()));
        check(|c| c.formula = "Weight ~ Species".into(), SchemaError::NoFeature);
        check(|c| c.key.clear(), SchemaError::NoKey);
        check(|c| c.timestamp = "Length".into(), SchemaError::Repeated("Length".into()));
        check(|c| c.timestamp = "ModelTime".into(), SchemaError::Reserved("ModelTime".into()));
        check(
            |c| c.range = [("Girth".into(), Range::default())].into(),
            SchemaError::RangeOfUnknown("Girth".into()),
        );
        let reversed = SchemaConfig {
            range: [("Length".into(), range(Some(2.0), Some(1.0)))].into(),
            ..SchemaConfig::fish()
        };
        let error = Schema::try_from(&reversed).expect_err("refused");
        assert_eq!(error, SchemaError::EmptyRange("Length".into()));
    }
}
