//! The rules as data. A change here is a decision about the architecture: say why in the commit.

/// Third-party crates that only some files may name.
pub(super) struct Confined {
    /// The packages, as `Cargo.toml` calls them.
    pub(super) packages: &'static [&'static str],
    /// Where they may be named: prefixes of paths in the repository.
    pub(super) places: &'static [&'static str],
}

/// Each outside system is named in one place; its neighbours see our own types.
pub(super) const CONFINED: &[Confined] = &[
    Confined { packages: &["rumqttc"], places: &["crates/mqtt/"] },
    Confined { packages: &["rumqttd"], places: &["crates/embedded/src/mqtt.rs"] },
    Confined { packages: &["rdkafka"], places: &["crates/kafka/", "crates/embedded/src/kafka.rs"] },
    Confined { packages: &["wasmtime", "wasmtime-wizer"], places: &["crates/runtime/"] },
    Confined { packages: &["redb", "mongodb"], places: &["host/src/store/"] },
    // crates/mqtt names its errors, as rumqttc hands them on, to say which setting is wrong.
    Confined { packages: &["rustls"], places: &["crates/service/", "crates/mqtt/src/denial.rs"] },
    Confined { packages: &["plotters", "png"], places: &["crates/view/src/chart"] },
    Confined { packages: &["figment"], places: &["crates/service/"] },
    Confined {
        packages: &["hyper", "hyper-util"],
        places: &["crates/service/src/health/server", "host/src/http/server.rs", "e2e/tests/page/"],
    },
    Confined {
        packages: &["axum", "maud", "tower-http", "utoipa", "utoipa-axum", "utoipa-swagger-ui"],
        places: &["host/src/http/"],
    },
    Confined {
        packages: &["prometheus-client"],
        places: &["crates/service/src/health/metrics.rs"],
    },
    Confined { packages: &["sd-notify"], places: &["crates/service/src/health/notify.rs"] },
    Confined {
        packages: &["opentelemetry", "opentelemetry-otlp", "opentelemetry_sdk", "reqwest"],
        places: &["crates/service/src/traces/otlp.rs"],
    },
    Confined { packages: &["wit-bindgen"], places: &["model-wasm/"] },
];

/// Our crates, lowest layer first. A crate depends on lower layers only, never on its own.
pub(super) const LAYERS: &[&[&str]] = &[
    &["weir-events", "weir-model", "xtask"],
    &["weir-stream", "weir-spool", "weir-registry", "weir-runtime", "weir-service"],
    &["weir-kafka", "weir-mqtt", "weir-view"],
    &["weir-embedded"],
    &["weir-agent", "weir-bridge", "weir-host"],
    &["weir"],
    &["weir-e2e"],
];

/// The layer of the services. Tests may use anything below it, also from their own layer or above:
/// the embedded brokers. No test of a service may use another service.
pub(super) const SERVICES: usize = 4;

/// The guest meets everyone else through `wit/` and bytes. Tests may use it as the oracle.
pub(super) const TESTS_ONLY: &[&str] = &["weir-model"];

/// What a package must not link, however indirectly.
pub(super) const NOT_LINKED: &[(&str, &[&str])] = &[
    ("weir-agent", &["rdkafka-sys", "wasmtime", "redb", "weir-model"]),
    ("weir-bridge", &["wasmtime", "redb", "weir-model"]),
    ("weir-host", &["rumqttc", "weir-model"]),
    ("weir", &["weir-model"]),
];

/// The most lines of a file. The first pattern that fits the end of its path counts.
pub(super) const LINES_MAX: &[(&str, usize)] =
    &[("src/main.rs", 60), (".rs", 450), ("README.md", 120), ("ARCHITECTURE.md", 250)];

/// Macros that must not stay in the code.
pub(super) const UNFINISHED: &[&str] = &["todo", "unimplemented", "dbg"];

/// The commented defaults of the services.
pub(super) const DEFAULTS: &[&str] =
    &["edge-agent/weir-agent.toml", "bridge/weir-bridge.toml", "host/weir-host.toml"];

/// Sections of the defaults, as file and name, that must say the same: services meet in them.
pub(super) const SAME_SECTIONS: &[[(&str, &str); 2]] =
    &[[("bridge/weir-bridge.toml", "topics"), ("host/weir-host.toml", "topics")]];
