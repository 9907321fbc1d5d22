//! Settings that make no sense are named.

use super::*;

fn check(change: fn(&mut HostConfig), part: &str) {
    let mut config = HostConfig::load(None).expect("the defaults are valid");
    change(&mut config);
    let checked = config.check().and_then(|()| config.check_store());
    let message = checked.expect_err(part).to_string();
    assert!(message.contains(part), "{message}");
}

#[test]
fn senseless_values_are_named() {
    check(|c| c.window.threshold = f64::NAN, "window.threshold");
    check(|c| c.train.rows = 0, "train.rows");
    check(|c| c.train.tolerance = 1.0, "train.tolerance");
    check(|c| c.roles = [Role::Train].into(), "roles");
    check(|c| c.roles = [Role::Sink].into(), "store.uri");
    check(|c| c.roles.clear(), "roles");
    check(|c| c.store.uri = "file".into(), "store.uri");
    check(|c| c.schema.formula = "Weight".into(), "schema.formula");
    check(|c| c.limits.predict_deadline = Duration::ZERO, "limits");
}

#[test]
fn processes_may_share_mongodb() {
    let mut config = HostConfig::load(None).expect("the defaults are valid");
    config.store.uri = "mongodb://mongodb:27017/?replicaSet=weir".into();
    for roles in [[Role::Train].into(), [Role::Sink, Role::Drift].into()] {
        config.roles = roles;
        config.check().and_then(|()| config.check_store()).expect("valid");
    }
}
