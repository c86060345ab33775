"""DeepEval with a judge that needs no network: three test runs.

The argument is the directory for their files. Prints what `evaluate` itself returned for the first two.
"""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Iterable
from typing import Any, Final

# DeepEval reads the environment when it is imported.
os.environ["DEEPEVAL_TELEMETRY_OPT_OUT"] = "YES"
from deepeval import evaluate
from deepeval.dataset import EvaluationDataset, Golden
from deepeval.evaluate import AsyncConfig, CacheConfig, DisplayConfig, ErrorConfig
from deepeval.metrics import AnswerRelevancyMetric, BiasMetric, ConversationalGEval, GEval
from deepeval.models import DeepEvalBaseLLM
from deepeval.test_case import ConversationalTestCase, LLMTestCase, MultiTurnParams, SingleTurnParams, Turn
from deepeval.tracing import observe, update_current_span, update_current_trace

ANSWERS: Final = ("right", "WRONG", "right", "BROKEN", "WRONG", "right", "right", "WRONG")
"""The judge rejects an answer with WRONG in it, and fails for one with BROKEN."""


class OfflineJudge(DeepEvalBaseLLM):
    """Answers by the words of the prompt, in the form that the metric asks for."""

    def load_model(self) -> "OfflineJudge":
        return self

    def get_model_name(self) -> str:
        return "offline-judge-1"

    def generate(self, prompt: str, schema: Any = None) -> Any:
        if "BROKEN" in prompt:
            raise ConnectionError("the judge is not reachable")
        rejects = "WRONG" in prompt
        answers: dict[str, Any] = {
            "statements": [prompt[-40:], "WRONG" if rejects else "right"],
            "opinions": ["WRONG" if rejects else "right"],
            "verdicts": [{"verdict": "no" if rejects else "yes", "reason": "so"}],
            "score": 2 if rejects else 9,
            "reason": "It answers the question." if not rejects else "It is wrong.",
        }
        return schema(**{field: answers[field] for field in schema.model_fields})

    async def a_generate(self, prompt: str, schema: Any = None) -> Any:
        return self.generate(prompt, schema)


JUDGE: Final = OfflineJudge("offline-judge-1")


def relevancy(*, is_async: bool = False) -> Any:
    return AnswerRelevancyMetric(threshold=0.7, model=JUDGE, async_mode=is_async)


def quality(name: str, threshold: float | None) -> Any:
    return GEval(
        name=name,
        evaluation_params=[SingleTurnParams.INPUT, SingleTurnParams.ACTUAL_OUTPUT],
        evaluation_steps=["Look at the answer."],
        model=JUDGE,
        threshold=threshold,
        async_mode=False,
    )


def bias() -> Any:
    return BiasMetric(threshold=0.5, model=JUDGE, async_mode=False)


def options(directory: str, *, is_async: bool = False) -> dict[str, Any]:
    return {
        "display_config": DisplayConfig(
            show_indicator=False, print_results=False, inspect_after_run=False, results_folder=directory
        ),
        "error_config": ErrorConfig(ignore_errors=True),
        "async_config": AsyncConfig(run_async=is_async),
        "cache_config": CacheConfig(write_cache=False),
    }


def reported(results: Iterable[Any], key: str) -> list[dict[str, Any]]:
    """The metrics of the results that `evaluate` returned."""
    return [
        {
            "item": result.metadata[key],
            "metric": metric.name,
            "passed": metric.success,
            "score": metric.score,
            "error": metric.error,
        }
        for result in results
        for metric in result.metrics_data
    ]


def evaluate_cases(directory: str) -> list[dict[str, Any]]:
    cases = [
        LLMTestCase(input=f"question {number}", actual_output=answer, metadata={"trace_id": f"case-{number}"})
        for number, answer in enumerate(ANSWERS)
    ]
    metrics = [relevancy(), quality("Helpfulness", 0.6), bias(), quality("Tone", None)]
    return reported(evaluate(cases, metrics, **options(directory)).test_results, "trace_id")


def evaluate_conversations(directory: str) -> list[dict[str, Any]]:
    friendly = ConversationalGEval(
        name="Friendly",
        evaluation_params=[MultiTurnParams.CONTENT],
        evaluation_steps=["Look at the turns."],
        model=JUDGE,
        async_mode=False,
    )
    cases = [
        ConversationalTestCase(
            turns=[Turn(role="user", content="question"), Turn(role="assistant", content=answer)],
            metadata={"thread_id": f"thread-{number}"},
        )
        for number, answer in enumerate(ANSWERS[:4])
    ]
    return reported(evaluate(cases, [friendly], **options(directory)).test_results, "thread_id")


def evaluate_traces(directory: str) -> None:
    """A run over traces: metrics of the trace, which the file repeats, and metrics of a span."""

    @observe(type="llm", model="app", metrics=[quality("Helpfulness", 0.6)])
    def answer(question: str) -> str:
        text = ANSWERS[int(question.removeprefix("question "))]
        update_current_span(test_case=LLMTestCase(input=question, actual_output=text))
        return text

    @observe(type="agent")
    async def agent(question: str) -> str:
        text = answer(question)
        update_current_trace(test_case=LLMTestCase(input=question, actual_output=text))
        return str(text)

    dataset = EvaluationDataset(
        goldens=[
            Golden(input=f"question {number}", additional_metadata={"trace_id": f"trace-{number}"})
            for number in range(3)
        ]
    )
    iterator = dataset.evals_iterator(metrics=[relevancy(is_async=True)], **options(directory, is_async=True))
    for golden in iterator:
        dataset.evaluate(asyncio.create_task(agent(golden.input)))


if __name__ == "__main__":
    # DeepEval writes to standard output.
    with contextlib.redirect_stdout(sys.stderr):
        folder = sys.argv[1]
        metrics = evaluate_cases(folder) + evaluate_conversations(folder)
        evaluate_traces(folder)
    sys.stdout.write(json.dumps(metrics))
