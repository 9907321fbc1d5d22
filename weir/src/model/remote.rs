//! `weir model push` and `pull`: versions in a registry of the Open Container Initiative.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};

use anyhow::{Context as _, bail};
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::manifest::{OCI_IMAGE_MEDIA_TYPE, OciDescriptor};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference, RegistryOperation};
use tokio::io::AsyncWrite;
use weir_events::Digest;
use weir_registry::{COMPONENT_TYPE, CONFIG_TYPE, Layout, Stored};

use super::source::{self, Signature, Source};
use crate::line::Line;

/// How a registry is reached.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Access {
    /// The user; nobody in particular without.
    #[arg(long, value_name = "NAME", requires = "password_file")]
    username: Option<String>,
    /// A file whose first line is the password.
    #[arg(long, value_name = "FILE", requires = "username")]
    password_file: Option<PathBuf>,
    /// Without TLS: for a registry on this machine.
    #[arg(long)]
    plain_http: bool,
}

impl Access {
    fn client(&self) -> anyhow::Result<(Client, RegistryAuth)> {
        let protocol = if self.plain_http { ClientProtocol::Http } else { ClientProtocol::Https };
        let config = ClientConfig { protocol, ..ClientConfig::default() };
        let auth = match (&self.username, &self.password_file) {
            (Some(name), Some(file)) => {
                let text = std::fs::read_to_string(file)
                    .with_context(|| format!("read the password in {}", file.display()))?;
                let password = text.lines().next().unwrap_or_default().to_owned();
                RegistryAuth::Basic(name.clone(), password)
            }
            _ => RegistryAuth::Anonymous,
        };
        Ok((Client::try_from(config).context("make a client")?, auth))
    }
}

fn reference(address: &str) -> anyhow::Result<Reference> {
    let Some(name) = address.strip_prefix("oci://") else {
        bail!("read {address:?}: write oci://HOST/NAME:TAG");
    };
    name.parse().with_context(|| format!("read {address:?}"))
}

/// Copies a version to a registry.
pub(super) async fn push(
    source: &Source,
    name: &str,
    to: &str,
    access: &Access,
) -> anyhow::Result<()> {
    let reference = reference(to)?;
    let versions = source.read().await?;
    let version = versions.get(name)?;
    let stored = version.stored.as_ref().context("push it: its component is not there any more")?;
    // The same bytes as in any other directory with this version.
    let folder = tempfile::tempdir().context("make a folder")?;
    let mut layout = Layout::open(folder.path())?;
    layout.put(&version.manifest, stored)?;
    let image = layout.image_of(&version.manifest.version.to_string())?;
    let (client, auth) = access.client()?;
    let pushing = || format!("push to {to}");
    client.auth(&reference, &auth, RegistryOperation::Push).await.with_context(pushing)?;
    for blob in [image.component, image.config] {
        let digest = Digest::of(&blob).to_string();
        client.push_blob(&reference, blob, &digest).await.with_context(pushing)?;
    }
    let digest = Digest::of(&image.manifest);
    let media_type = OCI_IMAGE_MEDIA_TYPE.parse().context("name the media type")?;
    client.push_manifest_raw(&reference, image.manifest, media_type).await.with_context(pushing)?;
    writeln!(std::io::stdout(), "{} {digest}", version.manifest.version)?;
    Ok(())
}

/// Copies a version from a registry to a directory.
pub(super) async fn pull(
    from: &str,
    out: &Path,
    line: &Line,
    access: &Access,
) -> anyhow::Result<()> {
    let config = line.load()?;
    let reference = reference(from)?;
    let (client, auth) = access.client()?;
    let pulling = || format!("pull {from}");
    let pulled = client.pull_manifest_raw(&reference, &auth, &[OCI_IMAGE_MEDIA_TYPE]).await;
    let (raw, _) = pulled.with_context(pulling)?;
    let manifest: oci_client::manifest::OciImageManifest =
        serde_json::from_slice(&raw).with_context(pulling)?;
    let [layer] = &manifest.layers[..] else {
        bail!("pull {from}: a model has one layer, this has {}", manifest.layers.len());
    };
    check(layer, &manifest.config, config.limits.component_bytes_max).with_context(pulling)?;
    let mut component = Bounded { bytes: Vec::new(), max: config.limits.component_bytes_max };
    client.pull_blob(&reference, layer, &mut component).await.with_context(pulling)?;
    let stored = Stored::from_image(&raw, component.bytes)
        .map_err(|reason| anyhow::anyhow!("pull {from}: {reason}"))?;
    let strict = source::strict(&config)?;
    let signature = Signature::of(strict.as_ref(), &stored.envelope);
    if let Signature::Bad(reason) = &signature {
        bail!("pull {from}: {reason}");
    }
    let manifest = stored.unchecked().context("read its manifest")?;
    Layout::open(out)?.put(&manifest, &stored)?;
    let (version, digest) = (manifest.version, manifest.digest);
    writeln!(std::io::stdout(), "{}:{version} {digest}\nsignature: {signature}", out.display())?;
    Ok(())
}

/// Bytes up to a limit: a registry may send more than it said.
struct Bounded {
    bytes: Vec<u8>,
    max: usize,
}

impl AsyncWrite for Bounded {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        new: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.bytes.len() + new.len() > this.max {
            let reason = format!("more than {} bytes, limits.component-bytes-max", this.max);
            return Poll::Ready(Err(io::Error::other(reason)));
        }
        this.bytes.extend_from_slice(new);
        Poll::Ready(Ok(new.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Whether it is a model, and no larger than one may be: before anything is fetched.
fn check(layer: &OciDescriptor, config: &OciDescriptor, bytes_max: usize) -> anyhow::Result<()> {
    if layer.media_type != COMPONENT_TYPE || config.media_type != CONFIG_TYPE {
        bail!(
            "it is no model: its layer is {}, its configuration {}",
            layer.media_type,
            config.media_type
        );
    }
    if usize::try_from(layer.size).is_ok_and(|size| size <= bytes_max) {
        return Ok(());
    }
    bail!(
        "its component has {} bytes, more than limits.component-bytes-max ({bytes_max})",
        layer.size
    )
}
