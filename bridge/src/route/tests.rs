//! Routes: what fits which, what is refused in the settings, and any topic at all.

use proptest::prelude::*;

use super::*;
use crate::BridgeConfig;

const ANSWER: &str = "weir-ack/{line}/{device}";

fn defaults() -> Routes {
    let routes = BridgeConfig::default().routes;
    Routes::new(&routes, &TopicNames::default(), ANSWER).expect("valid")
}

fn route(topic: &str, event: Announced) -> RouteConfig {
    let (kafka_topic, key, headers) = Default::default();
    RouteConfig { topic: topic.into(), event, kafka_topic, key, headers }
}

fn raw(topic: &str, kafka_topic: &str) -> RouteConfig {
    RouteConfig { kafka_topic: Some(kafka_topic.into()), ..route(topic, Announced::Raw) }
}

fn routes(routes: &[RouteConfig]) -> Result<Routes, RouteError> {
    Routes::new(routes, &TopicNames::default(), ANSWER)
}

#[test]
fn the_lines_topics_are_understood() {
    let routes = defaults();
    let known = |topic: &'static str| {
        let route = routes.of(topic).expect(topic);
        let (kafka, _) = route.kafka_topic().expect("fixed");
        (route.announced(), kafka.to_string(), route.rule.dead_letters.to_string())
    };
    assert_eq!(
        known("weir/hall 1/gate-7/measurement"),
        (
            Announced::Measurement,
            "machine-measurement".into(),
            "machine-measurement-dead-letter".into()
        )
    );
    assert_eq!(
        known("weir/a/b/weight"),
        (Announced::Target, "machine-weight".into(), "machine-weight-dead-letter".into())
    );
    assert_eq!(
        known("weir/a/b/gap"),
        (Announced::Gap, "unrouted-dead-letter".into(), "unrouted-dead-letter".into())
    );
    let levels = routes.of("weir/hall 1/gate-7/measurement").expect("known").levels;
    assert_eq!(levels, [("line", "hall 1"), ("device", "gate-7")]);
    assert_eq!(routes.answer_topic(&levels), "weir-ack/hall 1/gate-7");
}

#[test]
fn any_other_depth_kind_or_root_is_unknown() {
    for topic in [
        "",
        "weir",
        "weir/a/b",
        "weir/a/measurement",
        "weir/a/b/temperature",
        "weir/a/b/Measurement",
        "weir/a/b/measurement/",
        "weir/a/b/c/measurement",
        "weir//b/measurement",
        "weir/a//weight",
        "/weir/a/b/weight",
        "plant/a/b/weight",
    ] {
        let rejection = defaults().of(topic).expect_err(topic).reason;
        assert_eq!(rejection, Reason::UnknownTopic, "{topic}");
    }
}

#[test]
fn a_route_names_topic_key_and_headers() {
    let mut config = raw("plc/{line}/alarm/{code}", "alarms.{line}");
    config.key = Some("{line}-{code}".into());
    config.headers = [("code".to_owned(), "c{code}".to_owned())].into();
    let routes = routes(&[config]).expect("valid");
    let route = routes.of("plc/l1/alarm/7").expect("known");
    let (topic, templated) = route.kafka_topic().expect("a topic");
    assert_eq!((&*topic, templated, route.key()), ("alarms.l1", true, Some("l1-7".into())));
    assert_eq!(route.headers().collect::<Vec<_>>(), [("code".into(), "c7".to_owned())]);
    // No device is named in it, so nobody could be answered.
    assert!(!route.rule.is_answered);
    assert_eq!(routes.topics_written(), ["unrouted-dead-letter"]);
    for topic in ["plc/l 1/alarm/7", "plc/ü/alarm/7"] {
        let rejection = routes.of(topic).expect("known").kafka_topic().expect_err(topic);
        assert_eq!(rejection.reason, Reason::BadText);
    }
}

#[test]
fn a_special_route_goes_before_a_general_one() {
    let special = raw("weir/{line}/camera/measurement", "pictures");
    let general = route("weir/{line}/{device}/measurement", Announced::Measurement);
    let both = [special.clone(), general.clone()];
    let ordered = routes(&both).expect("valid");
    let of = |topic: &'static str| ordered.of(topic).expect("known").announced();
    assert_eq!(of("weir/l/camera/measurement"), Announced::Raw);
    assert_eq!(of("weir/l/gate/measurement"), Announced::Measurement);
    let error = routes(&[general, special]).expect_err("never reached");
    assert_eq!(error, RouteError::Unreachable { route: 2, before: 1 });
}

#[test]
fn what_cannot_be_used_is_named() {
    let check = |wrong: &[RouteConfig], part: &str| {
        let message = routes(wrong).expect_err(part).to_string();
        assert!(message.contains(part), "{message}");
    };
    let measured = |topic: &str| route(topic, Announced::Measurement);
    check(&[], "none");
    check(&[measured("weir/+/{line}/{device}")], "topic of route 1");
    check(&[measured("weir/{line}/#")], "topic of route 1");
    check(&[measured("")], "topic of route 1");
    check(&[measured("weir/{line}/{line}/x")], "two levels");
    check(&[measured("weir/l-{line}/{device}")], "a name or a word");
    check(&[measured("weir/{line}/x")], "acks.topic");
    let good = measured("weir/{line}/{device}/x");
    check(&[good.clone(), good.clone()], "route 2 is never reached");
    check(&[raw("a/{x}/c", "t"), raw("a/b/{y}", "t")], "both fit \"a/b/c\"");
    check(&[route("weir/x", Announced::Raw)], "kafka-topic of route 1");
    check(&[raw("weir/x", "a b")], "kafka-topic of route 1");
    check(&[raw("weir/x", "t-{line}")], "{line} is no level");
    check(&[RouteConfig { key: Some("x".into()), ..good.clone() }], "key of route 1");
    let headers = [("weir-id".to_owned(), "x".to_owned())].into();
    check(&[RouteConfig { headers, ..good }], "weir-id");
}

proptest! {
    #[test]
    fn no_topic_panics_and_a_known_one_is_rebuilt_from_its_levels(
        topic in prop_oneof![any::<String>(), "(weir|x)(/[a-b]{0,2}){1,3}/(weight|measurement|c)"],
    ) {
        let routes = defaults();
        if let Ok(route) = routes.of(&topic) {
            let word = match route.announced() {
                Announced::Target => "weight",
                Announced::Measurement => "measurement",
                Announced::Gap | Announced::Raw => "gap",
            };
            let levels: Vec<_> = route.levels.iter().map(|(_, level)| *level).collect();
            prop_assert_eq!(topic.clone(), format!("weir/{}/{word}", levels.join("/")));
        }
    }
}
