"""Loads the formats of `disagreements` by the tools that they are for, and prints what the tools have, as JSON.

python tuning_loaders.py DSPY_FILE MLFLOW_FILE LANGSMITH_FILE
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

# Nothing is asked of the network.
os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
import dspy
import mlflow
from dspy.utils import DummyLM
from langsmith.schemas import ExampleCreate
from mlflow.entities import AssessmentSource, Feedback
from mlflow.genai.datasets import create_dataset
from mlflow.genai.judges import make_judge
from mlflow.genai.judges.base import AlignmentOptimizer, Judge
from mlflow.genai.scorers import scorer


def records(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def in_dspy(path: str) -> dict[str, Any]:
    """A program compiled with the examples as demonstrations: what it sends to its model, and how it scores."""
    examples = [dspy.Example(**record).with_inputs("input", "output") for record in records(path)]
    judge = dspy.Predict("input, output -> human_result, human_explanation")
    dspy.configure(lm=DummyLM([{"human_result": "fail", "human_explanation": "so"}] * 2 * len(examples)))
    tuned = dspy.LabeledFewShot(k=len(examples)).compile(judge, trainset=examples, sample=False)
    tuned(input="question", output="answer")
    prompt = "\n".join(str(message["content"]) for message in dspy.settings.lm.history[-1]["messages"])

    def agrees(example: dspy.Example, prediction: dspy.Prediction, _trace: object = None) -> bool:
        return bool(example.human_result == prediction.human_result)

    evaluate = dspy.Evaluate(devset=examples, metric=agrees, num_threads=1)
    return {"examples": [example.toDict() for example in examples], "prompt": prompt, "score": evaluate(judge).score}


@scorer
def agrees_with_people(outputs: Any, expectations: dict[str, Any]) -> bool:
    return bool(outputs == expectations["human_result"])


class _ReadsLabels(AlignmentOptimizer):
    """Stands for an optimizer that calls a model: takes what people wrote into the instructions."""

    def align(self, judge: Judge, traces: list[Any]) -> Judge:
        labels = [
            f"{feedback.value}: {feedback.rationale}"
            for trace in traces
            for feedback in trace.info.assessments
            if feedback.name == judge.name and feedback.source.source_type == "HUMAN"
        ]
        return make_judge(
            name=judge.name, instructions=judge.instructions + "\n" + "\n".join(sorted(labels)), model="openai:/none"
        )


def in_mlflow(path: str) -> dict[str, Any]:
    """The records as a dataset, as the data of an evaluation, and as traces with labels that align a judge."""
    mlflow.set_tracking_uri("sqlite:///tuning.db")
    mlflow.set_experiment("tuning")
    loaded = records(path)
    dataset = create_dataset(name="disagreements")
    dataset.merge_records(records(path))
    stored = dataset.to_df()[["inputs", "outputs", "expectations"]].to_dict("records")
    result = mlflow.genai.evaluate(data=loaded, scorers=[agrees_with_people])
    judge = make_judge(name="helpful", instructions="Does {{ outputs }} answer {{ inputs }}?", model="openai:/none")
    traces = []
    for record in loaded:
        with mlflow.start_span("answer") as span:
            span.set_inputs(record["inputs"])
            span.set_outputs(record["outputs"])
        traces.append(span.trace_id)
    mlflow.flush_trace_async_logging()
    for trace, record in zip(traces, loaded, strict=True):
        mlflow.log_assessment(
            trace,
            Feedback(
                name=judge.name,
                value=record["expectations"]["human_result"],
                rationale=record["expectations"].get("human_explanation"),
                source=AssessmentSource("HUMAN", record["tags"].get("annotator", "person")),
            ),
        )
    aligned = judge.align([mlflow.get_trace(trace) for trace in traces], _ReadsLabels())
    return {"stored": stored, "metrics": result.metrics, "instructions": aligned.instructions}


def in_langsmith(path: str) -> list[dict[str, Any]]:
    """The examples as the SDK sends them."""
    fields = {"inputs", "reference_outputs", "metadata"}
    return [ExampleCreate(**record).model_dump(mode="json", include=fields, by_alias=True) for record in records(path)]


if __name__ == "__main__":
    dspy_file, mlflow_file, langsmith_file = sys.argv[1:]
    # The tools write to standard output too.
    out, sys.stdout = sys.stdout, sys.stderr
    read = {"dspy": in_dspy(dspy_file), "mlflow": in_mlflow(mlflow_file), "langsmith": in_langsmith(langsmith_file)}
    out.write(json.dumps(read, default=str))
