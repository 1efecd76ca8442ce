# oomward's image: the interpreter, the libraries that it loads, oomward and its packages, and nothing else. No shell, no package
# manager, no compiler: the last stage begins empty. docs/image.md has its size, and how to build it.
#
#   docker buildx build --platform linux/amd64,linux/arm64 --tag ghcr.io/oomward/oomward:dev .
#
# Nothing here depends on the platform. A tag says what the digest is; the digest decides. Another base (a mirror's, a patched one)
# comes by --build-arg PYTHON_IMAGE=…; it needs bash, glibc, Python 3.11 or newer and pip.
ARG PYTHON_IMAGE=docker.io/library/python:3.13-slim@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b

FROM ${PYTHON_IMAGE} AS build
ARG SOURCE_DATE_EPOCH=0
ENV PIP_NO_CACHE_DIR=1
WORKDIR /src
# The packages first: they change less often than oomward does.
COPY requirements/run.lock requirements/build.lock requirements/
COPY scripts/image scripts/image
RUN bash scripts/image/install.sh python3 /image
COPY pyproject.toml README.md LICENSE ./
COPY agent agent
RUN bash scripts/image/build.sh python3 /image

FROM scratch
ARG PYTHON_IMAGE
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="oomward" \
      org.opencontainers.image.description="Keeps one process's OOM kill from taking down its whole container, for the pods that ask for it, and reports every OOM kill on the node." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/oomward/oomward" \
      org.opencontainers.image.documentation="https://github.com/oomward/oomward/tree/main/docs" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.base.name="${PYTHON_IMAGE}"
COPY --from=build /image/ /
ENV PATH=/usr/local/bin
# Root, since the cgroup files are root's; which capabilities that root has is the DaemonSet's to say (docs/security.md).
USER 0:0
EXPOSE 9797
# No HEALTHCHECK: the kubelet's probes ask /healthz and /readyz.
ENTRYPOINT ["oomward"]
