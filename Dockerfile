# syntax=docker/dockerfile:1

# The version of Cargo.toml's rust-version; Debian's release is that of the image below.
FROM rust:1.95-slim-trixie AS build
RUN apt-get update \
 && apt-get install --yes --no-install-recommends g++ make perl \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /hooktide
COPY Cargo.toml Cargo.lock ./
COPY config config
COPY schemas schemas
COPY src src
# What was built before is kept from one build to the next.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/hooktide/target \
    cargo build --release --locked --bin hooktide \
 && cp target/release/hooktide /usr/local/bin/hooktide

# glibc, libgcc and certificates of public authorities; no shell, no package manager.
FROM gcr.io/distroless/cc-debian13:nonroot
COPY LICENSE /usr/share/doc/hooktide/LICENSE
COPY --from=build /usr/local/bin/hooktide /usr/local/bin/hooktide
# As a number: Kubernetes cannot tell that a name is not root.
USER 65532:65532
# telemetry.listen, once it is set to more than the loopback address.
EXPOSE 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["/usr/local/bin/hooktide", "health"]
ENTRYPOINT ["/usr/local/bin/hooktide"]
CMD ["run"]
