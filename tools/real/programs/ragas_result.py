"""ragas with a judge that needs no network: one evaluation, as the table that `to_pandas` makes.

The argument is the file for the table. Prints the scores that ragas itself returned, by item.
"""

import json
import math
import os
import sys
from typing import Any, Final

os.environ["RAGAS_DO_NOT_TRACK"] = "true"
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from ragas import EvaluationDataset, SingleTurnSample, evaluate
from ragas.llms import LangchainLLMWrapper
from ragas.metrics import AspectCritic, ExactMatch, Faithfulness, RubricsScore
from ragas.run_config import RunConfig

ANSWERS: Final = ("right", "WRONG", "right", "BROKEN", "WRONG", "right", "right", "WRONG")
"""The judge rejects an answer with WRONG in it, and fails for one with BROKEN."""


class OfflineChatModel(BaseChatModel):
    """Answers by the last question of a prompt, in the form that the metric asks for."""

    @property
    def _llm_type(self) -> str:
        return "offline"

    def _generate(self, messages: Any, *_positional: Any, **_options: Any) -> ChatResult:
        prompt = "\n".join(str(message.content) for message in messages)
        question = prompt[prompt.rfind("Now perform the same") :]
        if "BROKEN" in question:
            raise ConnectionError("the judge is not reachable")
        accepts = "WRONG" not in question
        if '"statements":' in question:
            answer: Any = {"statements": [{"statement": "one", "reason": "so", "verdict": int(accepts)}]}
        elif "statements" in prompt:
            answer = {"statements": ["right" if accepts else "WRONG"]}
        elif "feedback" in prompt:
            answer = {"feedback": "so", "score": 5 if accepts else 2}
        else:
            answer = {"reason": "so", "verdict": int(accepts)}
        return ChatResult(generations=[ChatGeneration(message=AIMessage(content=json.dumps(answer)))])


def main(path: str) -> list[dict[str, Any]]:
    samples = [
        SingleTurnSample(
            user_input=f"question {number}",
            retrieved_contexts=[f'a context of {answer}, with "quotes"\nand two lines'],
            response=answer,
            reference="right",
        )
        for number, answer in enumerate(ANSWERS)
    ]
    metrics = [
        Faithfulness(),
        AspectCritic(name="rude", definition="Is it rude?"),
        RubricsScore(name="tone"),
        ExactMatch(),
    ]
    result = evaluate(
        EvaluationDataset(samples),
        metrics=metrics,
        llm=LangchainLLMWrapper(OfflineChatModel()),
        run_config=RunConfig(max_retries=1, max_wait=1),
        raise_exceptions=False,
        show_progress=False,
    )
    table = result.to_pandas()
    table["trace_id"] = [f"case-{number}" for number in range(len(ANSWERS))]
    table.to_csv(path, index=False)
    # A score of a failed judge is NaN, which JSON does not have.
    return [
        {"item": f"case-{number}"} | {name: None if math.isnan(score) else score for name, score in scores.items()}
        for number, scores in enumerate(result.scores)
    ]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(sys.argv[1])))
