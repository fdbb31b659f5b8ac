# The server in an image that runs as an unprivileged user and stores everything under /data.
FROM rust:1.95-slim-bookworm AS build
# A C compiler and make, for zstd and jemalloc.
RUN apt-get update && apt-get install -y --no-install-recommends build-essential pkg-config && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cargo build --release --locked --bin keyloft

FROM debian:bookworm-slim
# Root certificates, to reach an s3:// store over TLS.
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home keyloft \
    && install -d -o keyloft -g keyloft -m 0700 /data
COPY --from=build /src/target/release/keyloft /usr/local/bin/keyloft
USER 10001
ENV KEYLOFT_STORE=/data KEYLOFT_LISTEN=0.0.0.0:8000 KEYLOFT_LOG_FORMAT=json
VOLUME /data
EXPOSE 8000
# SIGTERM drains the node: the stop timeout must exceed --shutdown-timeout.
ENTRYPOINT ["keyloft"]
CMD ["serve"]
