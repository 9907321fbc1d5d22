//! N-4: Kafka goes away while machines and MQTT go on.
