# syntax=docker/dockerfile:1

FROM rust:1.95-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends cmake && rm -rf /var/lib/apt/lists/*
WORKDIR /source
ARG COMMIT=unknown
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/source/target \
    TIDEGATE_COMMIT=$COMMIT TIDEGATE_RUSTC="$(rustc --version)" \
    cargo build --locked --release --bin tidegate && scripts/make-rootfs target/release/tidegate /rootfs

# Nothing but the binary, the libraries that it is linked to, and an empty place for the configuration. No shell.
FROM scratch
COPY --from=build /rootfs /
USER 65532:65532
# 80 and 443 need no privilege here: Docker lets containers bind any port (net.ipv4.ip_unprivileged_port_start=0).
EXPOSE 80 443 9900
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=4s --start-period=5s --retries=3 CMD ["/usr/bin/tidegate", "healthcheck"]
ENTRYPOINT ["/usr/bin/tidegate"]
CMD ["run"]
