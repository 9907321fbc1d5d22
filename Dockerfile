# syntax=docker/dockerfile:1.7
# One image with Weir's four programs: weir, weir-agent, weir-bridge, weir-host.
#
#   docker build -t weir:0.1.0 .
#   docker buildx build --platform linux/amd64,linux/arm64 -t weir:0.1.0 .
#
# Both stages run on the platform that the image is for; nothing is cross-compiled. An arm64 image wants an
# arm64 builder: under emulation the build takes hours.

FROM rust:1.95-bookworm AS build
ARG TARGETARCH
WORKDIR /src
# The image has the pinned toolchain. The file names lints and formatter too, which would be fetched.
ENV RUSTUP_TOOLCHAIN=1.95.0 \
    CARGO_TERM_COLOR=never \
    CARGO_INCREMENTAL=0
COPY . .
# TLS and SASL to Kafka with Debian's OpenSSL, whose headers are in this image; MongoDB.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,id=weir-target-${TARGETARCH},sharing=locked \
    cargo build --locked --profile dist --bins \
      --package weir --package weir-agent --package weir-bridge --package weir-host \
      --features weir/full,weir-agent/otlp,weir-bridge/kafka-tls,weir-bridge/otlp,weir-host/kafka-tls,weir-host/otlp \
 && mkdir /programs \
 && cp target/dist/weir target/dist/weir-agent target/dist/weir-bridge target/dist/weir-host /programs/

FROM debian:bookworm-20260824-slim
# OpenSSL for Kafka, and the public authorities, for a `ca-file`.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates libssl3 \
 && rm -rf /var/lib/apt/lists/* \
 && mkdir /var/lib/weir \
 && chown 65532:65532 /var/lib/weir
COPY --from=build /programs/ /usr/local/bin/
COPY LICENSE /usr/share/doc/weir/
LABEL org.opencontainers.image.title="Weir" \
      org.opencontainers.image.description="Predicts an expensive measurement from cheap ones, and retrains" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0"
# Nobody's number: the programs need no name, no home and no shell.
USER 65532:65532
# For what a program keeps: training rows in redb. A volume belongs here.
WORKDIR /var/lib/weir
# Each service is one of the four programs, and none can be asked how it is yet: a program that cannot go on
# ends, and whoever started the container sees that.
HEALTHCHECK NONE
CMD ["weir", "--help"]
