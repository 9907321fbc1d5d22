//! `weir model keygen`: a key that signs versions.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use weir_registry::SecretKey;

/// The two halves of a key.
pub(crate) struct Files {
    pub(crate) secret: PathBuf,
    pub(crate) public: PathBuf,
}

/// Makes a key, `<path>.pem` for the trainer alone and `<path>.pub` for everybody. Nothing is overwritten.
///
/// # Errors
/// If a file exists or cannot be written.
pub(crate) fn make(path: &Path) -> anyhow::Result<Files> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).context("draw random numbers")?;
    let key = SecretKey::from_seed(&seed);
    let with = |extension: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(extension);
        PathBuf::from(name)
    };
    let files = Files { secret: with(".pem"), public: with(".pub") };
    write(&files.secret, &key.to_pem(), true)?;
    write(&files.public, &key.public().to_pem(), false)?;
    Ok(files)
}

fn write(path: &Path, text: &str, is_secret: bool) -> anyhow::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if is_secret {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let write = |mut file: File| file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    options.open(path).and_then(write).with_context(|| format!("write {}", path.display()))
}

/// Makes a key and says what to do with it.
pub(super) fn execute(path: &Path) -> anyhow::Result<()> {
    let Files { secret, public } = make(path)?;
    let text = std::fs::read_to_string(&public)?;
    let id = weir_registry::PublicKey::from_pem(&text)?.id();
    let mut out = std::io::stdout().lock();
    writeln!(out, "{id}")?;
    writeln!(out, "{}  for the trainer alone: train.key-file", secret.display())?;
    writeln!(out, "{}  for every host: one of trust.keys", public.display())?;
    Ok(())
}
