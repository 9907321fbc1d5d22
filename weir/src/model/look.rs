//! `weir model list`, `inspect`, `diff` and `verify`: what versions are.

use std::io::Write as _;

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};
use statrs::distribution::{ContinuousCDF as _, StudentsT};
use weir_events::Digest;
use weir_host::model::check;
use weir_registry::{Coefficient, Manifest};
use weir_runtime::Runtime;

use super::source::{Signature, Source, Version, Versions};
use crate::output::{is_read, stdout};
use crate::style::{BAD, FINE};
use crate::table::Table;
use weir_view::show;

/// How a card is shown.
#[derive(clap::ValueEnum, Clone, Copy, Default, Debug)]
pub(crate) enum Form {
    /// As R's summary.
    #[default]
    Summary,
    /// The manifest.
    Json,
    /// The model card.
    Markdown,
}

/// One line for each version.
pub(super) async fn list(source: &Source, as_json: bool) -> anyhow::Result<()> {
    let versions = source.read().await?;
    let serving = versions.champion().map(|version| version.manifest.version);
    if as_json {
        let mut out = std::io::stdout().lock();
        for version in &versions.all {
            let mut json = serde_json::to_value(&*version.manifest)?;
            json["serves"] = json!(Some(version.manifest.version) == serving);
            json["signature"] = json!(version.signature.to_string());
            if !is_read(writeln!(out, "{json}"))? {
                break;
            }
        }
        return Ok(());
    }
    let mut table = Table::new([
        "version",
        "",
        "stage",
        "component",
        "published",
        "rows",
        "error",
        "cause",
        "signature",
    ]);
    for Version { manifest, signature, .. } in &versions.all {
        let error = manifest.hold_out.as_ref().map(|hold_out| format!("{:.4}", hold_out.error));
        let source = manifest.source.map(|source| format!(" = {source}")).unwrap_or_default();
        table.row([
            manifest.version.to_string(),
            if Some(manifest.version) == serving { "serves".into() } else { String::new() },
            manifest.stage.as_str().into(),
            format!("{}{source}", manifest.digest.short()),
            show::instant(manifest.created),
            manifest.rows.n.to_string(),
            error.unwrap_or_else(|| "-".into()),
            cause(manifest),
            match signature {
                Signature::Valid(Some(_)) => "valid".into(),
                Signature::Valid(None) => "none".into(),
                Signature::Unchecked => "not checked".into(),
                Signature::Bad(_) => "BAD".into(),
            },
        ]);
    }
    is_read(write!(stdout(), "{table:#}")).map(drop)
}

/// The card of a version.
pub(super) async fn inspect(source: &Source, name: &str, form: Form) -> anyhow::Result<()> {
    let versions = source.read().await?;
    let version = versions.get(name)?;
    let text = match form {
        Form::Json => serde_json::to_string_pretty(&*version.manifest)? + "\n",
        Form::Markdown => version.manifest.to_markdown(),
        Form::Summary => summary(version),
    };
    is_read(write!(stdout(), "{text}")).map(drop)
}

/// As R's `summary` of a linear model shows it.
fn summary(version: &Version) -> String {
    let manifest = &version.manifest;
    let rows = &manifest.rows;
    let df = manifest.metrics.df_residual;
    let mut table = Table::new(["", "Estimate", "Std. Error", "t value", "Pr(>|t|)"]);
    for Coefficient { name, estimate, std_error } in &manifest.coefficients {
        let number = |number: Option<f64>| number.map_or_else(|| "NA".into(), show::significant);
        let t = estimate.zip(*std_error).map(|(estimate, error)| estimate / error);
        let p = t.and_then(|t| two_sided(t, df));
        table.row([
            show::text(name, 40),
            number(*estimate),
            number(*std_error),
            number(t),
            p.map_or_else(|| "NA".into(), p_value),
        ]);
    }
    let metrics = &manifest.metrics;
    let number = |number: Option<f64>| number.map_or_else(|| "NA".into(), show::significant);
    let mut text = format!(
        "{} of model {}, {}, published {}\n{}, {} bytes\nsignature: {}\ncause: {}\n\n{}\n{} rows, {} to {}; {} left out\n\n\
         {table:#}\nResidual standard error: {} on {df} degrees of freedom\nR-squared: {}, adjusted: {}\n",
        manifest.version,
        show::text(&manifest.model, 80),
        manifest.stage.as_str(),
        show::instant(manifest.created),
        manifest.digest,
        manifest.size,
        version.signature,
        cause(manifest),
        show::text(&manifest.formula, 200),
        rows.n,
        show::text(&rows.first_id, 40),
        show::text(&rows.last_id, 40),
        rows.left_out,
        number(metrics.sigma),
        number(metrics.r_squared),
        number(metrics.adj_r_squared),
    );
    if let Some(hold_out) = &manifest.hold_out {
        text += &format!("Mean error on {} rows held out: {:.4}", hold_out.n, hold_out.error);
        if let Some((champion, error)) = hold_out.champion.zip(hold_out.champion_error) {
            text += &format!("; {champion}: {error:.4}");
        }
        text.push('\n');
    }
    text
}

/// The probability of a t value at least so far from zero, if the coefficient were zero.
fn two_sided(t: f64, df: u32) -> Option<f64> {
    let distribution = StudentsT::new(0.0, 1.0, f64::from(df)).ok()?;
    Some(2.0 * distribution.sf(t.abs()))
}

/// As R prints it: nothing is zero.
fn p_value(p: f64) -> String {
    if p < 2.2e-16 { "<2e-16".into() } else { show::significant(p) }
}

fn cause(manifest: &Manifest) -> String {
    let cause = &manifest.cause;
    let mut text = cause.kind.as_str().to_owned();
    for part in [&cause.by, &cause.reason].into_iter().flatten() {
        text += &format!("; {}", show::text(part, 100));
    }
    match &cause.id {
        Some(id) if cause.by.is_none() => text + " " + &show::text(id, 60),
        _ => text,
    }
}

/// What is different between two versions.
pub(super) async fn diff(source: &Source, names: [&str; 2], as_json: bool) -> anyhow::Result<()> {
    let versions = source.read().await?;
    let [left, right] = [versions.get(names[0])?, versions.get(names[1])?];
    let (left, right) = (&left.manifest, &right.manifest);
    let mut rows: Vec<(String, Value, Value)> = Vec::new();
    let mut add = |name: &str, left: Value, right: Value| rows.push((name.to_owned(), left, right));
    add("component", json!(left.digest), json!(right.digest));
    add("formula", json!(left.formula), json!(right.formula));
    add("rows", json!(left.rows.n), json!(right.rows.n));
    add("rows digest", json!(left.rows.digest), json!(right.rows.digest));
    let shared = left.rows.ids.iter().filter(|id| right.rows.ids.contains(id)).count();
    add("rows of both", json!(shared), json!(shared));
    add("levels", json!(left.levels), json!(right.levels));
    let mut names: Vec<&str> = left.coefficients.iter().map(|term| &*term.name).collect();
    names.extend(right.coefficients.iter().map(|term| &*term.name));
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(*name));
    for name in names {
        let of = |manifest: &Manifest| {
            let term = manifest.coefficients.iter().find(|term| term.name == name);
            json!(term.and_then(|term| term.estimate))
        };
        add(name, of(left), of(right));
    }
    for (name, of) in [
        ("sigma", (|m| json!(m.metrics.sigma)) as fn(&Manifest) -> Value),
        ("R-squared", |m| json!(m.metrics.r_squared)),
        ("error on rows held out", |m| json!(m.hold_out.as_ref().map(|held| held.error))),
    ] {
        add(name, of(left), of(right));
    }
    if as_json {
        let mut out = std::io::stdout().lock();
        let object: serde_json::Map<String, Value> =
            rows.into_iter().map(|(name, left, right)| (name, json!([left, right]))).collect();
        return is_read(writeln!(out, "{}", Value::from(object))).map(drop);
    }
    let mut table =
        Table::new(["", &left.version.to_string(), &right.version.to_string(), "change"]);
    for (name, left, right) in rows {
        let change = match (left.as_f64(), right.as_f64()) {
            (Some(left), Some(right)) => show::significant(right - left),
            _ if left == right => "same".into(),
            _ => "differs".into(),
        };
        let cell = |value: &Value| match value {
            Value::Number(number) if number.is_f64() => {
                show::significant(number.as_f64().unwrap_or(f64::NAN))
            }
            Value::Null => "-".into(),
            Value::String(text) => show::text(text, 60),
            other => show::text(&other.to_string(), 60),
        };
        table.row([show::text(&name, 40), cell(&left), cell(&right), change]);
    }
    is_read(write!(stdout(), "{table:#}")).map(drop)
}

/// Checks a version as a host does before it serves it: signature, digest, world, schema, golden vectors.
pub(super) async fn verify(
    source: &Source,
    name: Option<&str>,
    as_json: bool,
) -> anyhow::Result<()> {
    let config = source.line.load()?;
    ensure!(
        !config.trust.keys.is_empty(),
        "verify a signature: name public keys under [trust] keys, or with WEIR__TRUST__KEYS='[\"key.pub\"]'"
    );
    let versions: Versions = source.read().await?;
    let chosen: Vec<&Version> = match name {
        Some(name) => vec![versions.get(name)?],
        None => versions.all.iter().collect(),
    };
    let (runtime, schema) = (Runtime::new(config.limits()?)?, config.schema()?);
    let mut bad = 0;
    let mut out = stdout();
    for version in &chosen {
        let reason = verify_one(version, &runtime, &schema).err().map(|error| format!("{error:#}"));
        bad += usize::from(reason.is_some());
        let Manifest { version, digest, .. } = &*version.manifest;
        if as_json {
            let valid = reason.is_none();
            let object =
                json!({ "version": version, "digest": digest, "valid": valid, "reason": reason });
            writeln!(out, "{object}")?;
        } else if let Some(reason) = reason {
            let reason = show::text(&reason, 400);
            writeln!(out, "{version}  {digest}  {BAD}BAD: {reason}{BAD:#}")?;
        } else {
            writeln!(out, "{version}  {digest}  {FINE}valid{FINE:#}")?;
        }
    }
    if bad > 0 {
        bail!("verify {} versions: {bad} must not serve", chosen.len());
    }
    Ok(())
}

fn verify_one(
    version: &Version,
    runtime: &Runtime,
    schema: &weir_events::Schema,
) -> anyhow::Result<()> {
    if let Signature::Bad(reason) = &version.signature {
        bail!("{reason}");
    }
    let stored = version.stored.as_ref().context("its component is not there any more")?;
    ensure!(Digest::of(&stored.bytes) == version.manifest.digest, "the component is another one");
    let model = runtime.load(&stored.bytes).context("load the component")?;
    check(&model, schema, &version.manifest.golden).context("test the component")
}
