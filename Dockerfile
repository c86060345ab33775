# One image for workers, views, ingest and commands, on amd64 and arm64. Everything that is installed comes from the lock
# files, checked by hash. Python 3.11, as in the tests. To be sure of the base image in a registry of others, append its
# digest (`docker buildx imagetools inspect python:3.11.14-slim-bookworm` prints it):
#   docker build --build-arg PYTHON=3.11.14-slim-bookworm@sha256:... .
ARG PYTHON=3.11.14-slim-bookworm

FROM python:${PYTHON} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
COPY requirements.txt requirements-build.txt ./
# Every dependency has a wheel for both architectures, except faust-streaming on arm64: pip makes one from its source
# distribution, in pure Python, because this image has no compiler. `make containers` checks this.
RUN python -m pip install --require-hashes --only-binary :all: -r requirements-build.txt \
 && python -m pip wheel --require-hashes --no-deps --no-build-isolation --wheel-dir wheels -r requirements.txt \
 && python -m venv --without-pip /opt/eval-alignment \
 && python -m pip --python /opt/eval-alignment/bin/python install --no-index --no-deps wheels/*.whl
COPY pyproject.toml README.md LICENSE ./
COPY aggregator aggregator
COPY streams streams
COPY sinks sinks
COPY sources sources
COPY ingest ingest
COPY eval_alignment eval_alignment
RUN python -m hatchling build -t wheel -d dist \
 && python -m pip --python /opt/eval-alignment/bin/python install --no-index --no-deps dist/*.whl

FROM python:${PYTHON}
# A release's pipeline adds version, revision, created and source: `docker build --label`.
LABEL org.opencontainers.image.title="Eval Alignment" \
      org.opencontainers.image.description="Measures how well LLM judges agree with human annotators" \
      org.opencontainers.image.licenses="Apache-2.0"
# Process 1 ignores SIGTERM unless it has installed a handler. tini is process 1 and forwards signals.
# `hold` is the earlier name of `run-or-park`, kept for existing deployments.
# tini has the version of the base image's Debian, so it is not pinned here.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends tini \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --gid 10001 eval-alignment \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin eval-alignment \
 && find / -xdev -type f -perm /6000 -exec chmod a-s {} + \
 && install --directory --owner 10001 --group 10001 --mode 0700 /data \
 && ln --symbolic run-or-park /usr/local/bin/hold
COPY --from=build /opt/eval-alignment /opt/eval-alignment
COPY deploy/container/health.py /usr/local/bin/health
COPY deploy/container/run_or_park.py /usr/local/bin/run-or-park
ENV PATH=/opt/eval-alignment/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 EVAL_ALIGNMENT_DATA_DIR=/data
USER 10001:10001
WORKDIR /data
EXPOSE 8389 8390 8391
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["health"]
ENTRYPOINT ["tini", "--", "eval-alignment"]
CMD ["--help"]
