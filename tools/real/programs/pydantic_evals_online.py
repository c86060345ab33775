"""An application whose answers pydantic-evals judges online, and whose users give feedback. Both are sent as OTLP.

OTEL_EXPORTER_OTLP_ENDPOINT is where to. Prints what pydantic-evals itself returned for each answer, and the feedback.
"""

import asyncio
import json
import sys
from dataclasses import dataclass
from typing import Any, Final

from opentelemetry import trace
from opentelemetry._logs import LogRecord, get_logger, set_logger_provider
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from pydantic_evals.evaluators import EvaluationReason, Evaluator, EvaluatorContext
from pydantic_evals.online import SinkPayload, configure, evaluate, wait_for_evaluations

ANSWERS: Final = ("right", "WRONG", "right", "BROKEN", "WRONG", "right", "right", "WRONG")
"""The judge rejects an answer with WRONG in it, and fails for one with BROKEN."""


@dataclass
class Correct(Evaluator[Any, Any, Any]):
    """A verdict, with a version of the judge."""

    def get_evaluator_version(self) -> str:
        return "judge-2"

    def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> EvaluationReason:
        if "BROKEN" in ctx.output:
            raise ConnectionError("the judge is not reachable")
        return EvaluationReason("WRONG" not in ctx.output, "It was compared.")


@dataclass
class Measures(Evaluator[Any, Any, Any]):
    """A score, a label, and a number that nobody needs."""

    def evaluate(self, ctx: EvaluatorContext[Any, Any, Any]) -> dict[str, Any]:
        rejects = "WRONG" in ctx.output
        return {
            "relevance": 0.2 if rejects else 0.9,
            "tone": "rude" if rejects else "polite",
            "length": len(ctx.output),
        }


class CollectedResults:
    """What pydantic-evals hands to its sinks."""

    def __init__(self) -> None:
        self.verdicts: list[dict[str, Any]] = []

    async def submit(self, payload: SinkPayload) -> None:
        assert payload.span_reference is not None
        item = payload.span_reference.trace_id
        self.verdicts += [{"item": item, "metric": each.name, "value": each.value} for each in payload.results]
        self.verdicts += [{"item": item, "metric": each.name, "value": None} for each in payload.failures]


@evaluate(Correct(), Measures())
async def answer(number: int) -> str:
    return ANSWERS[number]


async def main() -> dict[str, Any]:
    tracer_provider, logger_provider = TracerProvider(), LoggerProvider()
    tracer_provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    logger_provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
    trace.set_tracer_provider(tracer_provider)
    set_logger_provider(logger_provider)
    results = CollectedResults()
    configure(default_sink=results)
    feedback = []
    for number in range(len(ANSWERS)):
        with trace.get_tracer("application").start_as_current_span("request") as span:
            await answer(number)
            accepts = number % 3 != 0
            attributes: dict[str, Any] = {
                "gen_ai.evaluation.name": "user_feedback",
                "gen_ai.evaluation.score.value": 1.0 if accepts else 0.0,
                "gen_ai.evaluation.explanation": "So it is.",
                "enduser.pseudo.id": "ada",
            }
            get_logger("application").emit(LogRecord(event_name="gen_ai.evaluation.result", attributes=attributes))
            item = format(span.get_span_context().trace_id, "032x")
            feedback.append({"item": item, "accepts": accepts})
    await wait_for_evaluations()
    tracer_provider.shutdown()
    logger_provider.shutdown()
    return {"verdicts": results.verdicts, "feedback": feedback}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(main())))
