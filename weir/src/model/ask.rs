//! `weir model promote`, `rollback` and `retrain`: asks the trainer, who alone can sign.

use std::io::Write as _;
use std::time::Duration;

use anyhow::bail;
use weir_host::model::{self, Answered};
use weir_registry::Action;
use weir_service::{Clock as _, SystemClock};
use weir_view::show;

use crate::line::Line;

/// Arguments of requests.
#[derive(clap::Args, Clone, Default, Debug)]
pub(crate) struct Asking {
    #[command(flatten)]
    line: Line,
    /// Why, for whoever looks later.
    #[arg(long, default_value = "")]
    reason: String,
    /// How long to wait for the trainer, in seconds.
    #[arg(long, default_value_t = 60)]
    timeout: u64,
}

/// Sends a request and waits for what becomes of it.
pub(super) async fn ask(asking: &Asking, action: Action) -> anyhow::Result<()> {
    let config = asking.line.load()?;
    let timeout = Duration::from_secs(asking.timeout);
    let by = user().unwrap_or_else(|| "weir".into());
    let asked = model::Asking { action, by, reason: asking.reason.clone() };
    let answered = model::ask(&config, asked, SystemClock.now(), timeout).await?;
    let mut out = std::io::stdout().lock();
    match answered {
        Answered::Done(Some(version)) => writeln!(out, "{version}")?,
        Answered::Done(None) => writeln!(out, "nothing was to be done")?,
        Answered::Refused(reason) => bail!("do it: {}", show::text(&reason, 400)),
        Answered::NotYet(id) => bail!(
            "get an answer within {timeout:?}: is a host with the role train running? The request {id} stays, \
             and will be answered when one is"
        ),
    }
    Ok(())
}

/// Who runs this program, by the system's word.
pub(super) fn user() -> Option<String> {
    ["SUDO_USER", "USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok())
}
