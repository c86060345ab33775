"""The rows of the table."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from bench.end_to_end.flow import percentile
from bench.end_to_end.site import Row, Site
from bench.ingest.generator import Outcome
from tests.support.ingest_process import IngestProcess
from tests.support.kafka import Kafka
from tests.support.processes import resident_bytes

_ROOT: Final = Path(__file__).resolve().parents[2]
_MIB: Final = 2**20
_WARM_UP_SECONDS: Final = 3.0


@dataclass(frozen=True, slots=True)
class Sizes:
    """Seconds of each measurement, events a second in batches, events of a batch, single events a second."""

    seconds: float = 60
    rate: int = 10_000
    batch: int = 500
    single: int = 200


SMALL: Final = Sizes(seconds=2, rate=500, batch=50, single=50)


def parts(kafka: Kafka, directory: Path, sizes: Sizes) -> Iterator[Row]:
    """All rows, in order. Every event is acknowledged, and counted by the worker in the end."""
    with Site(kafka, "ingest.", directory) as site, IngestProcess(site.cluster, directory) as ingest:
        site.start_worker()
        site.start_view()
        counted = 0
        for seed, (rate, batch) in enumerate(((sizes.rate, sizes.batch), (sizes.single, 1)), 1):
            counted += _post(ingest, rate, batch, _WARM_UP_SECONDS, 1_000 * seed).accepted
            with site.cores(ingest=ingest.pid) as cores:
                measured = _post(ingest, rate, batch, sizes.seconds, 1_000 * seed + 500)
            counted += measured.accepted
            site.wait_for_metric("eval_alignment_facts_written_total", counted)
            used = {"generator": measured.cpu_seconds / measured.seconds, **cores.used}
            what = f"{rate:,} events/s, " + (f"{batch} a request" if batch > 1 else "one a request")
            yield _latency(what, measured, None if batch > 1 else 50)
            if batch > 1:
                achieved = measured.accepted / measured.seconds
                yield Row(
                    f"acknowledged, {what}",
                    f"{achieved:,.0f} events/s for {measured.seconds:.0f} s",
                    f">= {rate:,} events/s within 1 %",
                    achieved >= 0.99 * rate,
                )
            yield Row(f"cores meanwhile, {what}", ", ".join(f"{name} {number:.2f}" for name, number in used.items()))
        yield Row("memory of ingest, afterwards", f"{resident_bytes(ingest.pid) / _MIB:.0f} MiB")


def _latency(what: str, measured: Outcome, limit: float | None) -> Row:
    slowest = percentile(measured.ms, 99)
    return Row(
        f"request to answer, {what}",
        f"p50 {percentile(measured.ms, 50):.0f} ms, p99 {slowest:.0f} ms",
        "" if limit is None else f"p99 <= {limit:g} ms",
        None if limit is None else slowest <= limit,
    )


def _post(ingest: IngestProcess, rate: float, batch: int, seconds: float, seed: int) -> Outcome:
    options = {"rate": rate, "batch": batch, "seconds": seconds, "seed": seed}
    with subprocess.Popen(
        [
            *(sys.executable, "-m", "bench.ingest.generator", ingest.url.removeprefix("http://")),
            *(f"--{name}={value}" for name, value in options.items()),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=_ROOT,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.stdin.write(b"\n")
        process.stdin.flush()
        outcome = Outcome(**orjson.loads(process.stdout.readline()))
    assert outcome.accepted == int(rate * seconds), "every event is acknowledged"
    return outcome
