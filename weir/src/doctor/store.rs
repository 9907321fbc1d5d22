//! The store of training rows: a file that one process may have open, or MongoDB.

use std::io;

use weir_host::store::{Found, look};
use weir_host::{HostConfig, Role};
use weir_service::ConfigError;

use super::files::{folder_of, is_writable, shown, takes_files};
use super::finding::Report;

/// Checks the store.
pub(super) async fn check(host: &HostConfig, report: &mut Report) {
    let section = &host.store;
    if !host.roles.contains(&Role::Sink) && !host.roles.contains(&Role::Train) {
        report.skipped("store", "this host has neither the role sink nor train", None);
        return;
    }
    if section.is_shared() {
        return check_shared(host, report).await;
    }
    if section.path.as_os_str().is_empty() {
        let next = "name a file in store.path, or a server in store.uri";
        report.warning("store", "rows are in memory, and gone with the process", next);
        return;
    }
    let place = shown(&section.path);
    let found = match look(host).await {
        Ok(found) => found,
        Err(error) => {
            let next = "give the host's user the right to it; a file that is damaged can be moved away, rows come anew";
            return report.failed("store", format!("{place}: failed to {error:#}"), next);
        }
    };
    let rights = match found {
        Found::Absent => takes_files(folder_of(&section.path)),
        _ => is_writable(&section.path),
    };
    match (found, rights) {
        (_, Err(error)) => {
            let what = if error.kind() == io::ErrorKind::NotFound {
                "has no folder"
            } else {
                "cannot be written"
            };
            let next = "make its folder, and give it to the user that the host runs as";
            report.failed("store", format!("{place} {what}: {error}"), next);
        }
        (Found::Absent, Ok(())) => {
            report.ok("store", format!("{place} is not there; the host makes it"))
        }
        (Found::InUse, Ok(())) => {
            let next = "nothing, if that is the host at work; no other process may open it";
            report.warning("store", format!("{place} is open in another process"), next);
        }
        (Found::Unclean, Ok(())) => {
            report.ok(
                "store",
                format!("{place} was not closed in order; the host repairs it by itself"),
            );
        }
        (Found::Rows(rows), Ok(())) => report.ok("store", format!("{place} holds {rows} rows")),
    }
}

async fn check_shared(host: &HostConfig, report: &mut Report) {
    let section = &host.store;
    // A URI may hold a user, and no password: settings with one are refused.
    let place = format!("{}, {}.{}", section.uri, section.database, section.collection);
    match look(host).await {
        Ok(Found::Rows(rows)) => {
            report.ok("store", format!("{place} holds {rows} rows; writing is not tried"));
        }
        Ok(other) => report.failed("store", format!("{place}: {other:?}"), "look at store.uri"),
        Err(error) => {
            let is_setting = error.chain().any(|cause| cause.is::<ConfigError>());
            let next = match is_setting {
                true => "correct the section [store], or what the server allows this user",
                false => "start the server, or correct store.uri",
            };
            report.failed("store", format!("failed to {error:#}"), next);
        }
    }
}
