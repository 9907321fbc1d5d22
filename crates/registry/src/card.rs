//! The model card for people: a manifest as Markdown.

use std::fmt::Write as _;

use crate::manifest::Manifest;

impl Manifest {
    /// The card. Text from outside is escaped.
    pub fn to_markdown(&self) -> String {
        let mut card = String::new();
        self.write_markdown(&mut card).expect("a string takes all that is written to it");
        card
    }

    fn write_markdown(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "# Model {} {}\n", escape(&self.model), self.version)?;
        writeln!(out, "`{}`, {} bytes, {}.\n", self.digest, self.size, self.stage.as_str())?;
        writeln!(out, "`{}`\n", self.formula.replace('`', "'"))?;
        let mut fact = |name: &str, value: &str| writeln!(out, "- {name}: {}", escape(value));
        fact("trained", &self.model_time.to_string())?;
        fact("published", &self.created.to_string())?;
        fact("expires", &self.expires.map_or_else(|| "never".into(), |time| time.to_string()))?;
        fact("in service then", &self.parent.map_or_else(|| "none".into(), |v| v.to_string()))?;
        if let Some(source) = self.source {
            fact("component of", &source.to_string())?;
        }
        let cause = &self.cause;
        let parts = [
            Some(cause.kind.as_str()),
            cause.id.as_deref(),
            cause.by.as_deref(),
            cause.reason.as_deref(),
        ];
        fact("cause", &parts.into_iter().flatten().collect::<Vec<_>>().join("; "))?;
        fact("template", &self.template.to_string())?;
        let rows = &self.rows;
        writeln!(out, "\n## Rows\n")?;
        writeln!(
            out,
            "{} rows from {} to {}, {} left out; `{}`.",
            rows.n,
            escape(&rows.first_id),
            escape(&rows.last_id),
            rows.left_out,
            rows.digest
        )?;
        if let Some((first, last)) = rows.times {
            writeln!(out, "From {first} to {last}.")?;
        }
        if !self.levels.is_empty() {
            let levels: Vec<String> = self.levels.iter().map(|level| escape(level)).collect();
            writeln!(out, "Levels: {}.", levels.join(", "))?;
        }
        self.write_fit(out)?;
        let Some(hold_out) = &self.hold_out else { return Ok(()) };
        writeln!(out, "\n## Rows held out\n")?;
        write!(out, "Mean relative error {:.4} on {} rows", hold_out.error, hold_out.n)?;
        match hold_out.champion.zip(hold_out.champion_error) {
            Some((version, error)) => writeln!(out, "; {version} has {error:.4}."),
            None => writeln!(out, "."),
        }
    }

    fn write_fit(&self, out: &mut String) -> std::fmt::Result {
        writeln!(
            out,
            "\n## Coefficients\n\n| term | estimate | std. error | t |\n| --- | --- | --- | --- |"
        )?;
        for term in &self.coefficients {
            let number =
                |number: Option<f64>| number.map_or_else(|| "NA".into(), |n| format!("{n:.6}"));
            let t = term.estimate.zip(term.std_error).map(|(estimate, error)| estimate / error);
            writeln!(
                out,
                "| {} | {} | {} | {} |",
                escape(&term.name),
                number(term.estimate),
                number(term.std_error),
                number(t)
            )?;
        }
        let metrics = &self.metrics;
        let number =
            |number: Option<f64>| number.map_or_else(|| "NA".into(), |n| format!("{n:.4}"));
        writeln!(
            out,
            "\nResidual standard error {} on {} degrees of freedom; R2 {}, adjusted {}.",
            number(metrics.sigma),
            metrics.df_residual,
            number(metrics.r_squared),
            number(metrics.adj_r_squared)
        )
    }
}

/// Text as Markdown shows it, on one line.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '#' | '&' | '!' => {
                escaped.push('\\');
                escaped.push(character);
            }
            character if character.is_control() => escaped.push(' '),
            character => escaped.push(character),
        }
    }
    escaped
}
