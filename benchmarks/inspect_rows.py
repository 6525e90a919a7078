"""What Inspect takes for a row: run by `dataplane.py` with the Python of an environment that has inspect_ai.

A model of ours is registered inside it and answers at once; the samples and the rule are of our rows' size. Prints one
JSON object: cpu_ms_per_row (all of this process's CPU time from the start of the evaluation to its end), version.
"""

import json
import sys
import tempfile
import time

import inspect_ai
from inspect_ai import Task
from inspect_ai.dataset import Sample
from inspect_ai.model import ModelAPI, ModelOutput, modelapi
from inspect_ai.scorer import includes


class Instant(ModelAPI):
    async def generate(self, input, tools, tool_choice, config):  # type: ignore[no-untyped-def] # noqa: A002, ARG002
        return ModelOutput.from_content(self.model_name, "It is cause 1.")


@modelapi(name="instant")
def instant() -> type[ModelAPI]:
    return Instant


def main() -> None:
    rows = int(sys.argv[1])
    asked = "A 7-year-old man comes in for the {}th time. Which of the following is it?"
    samples = [Sample(input=asked.format(number), target=f"It is cause {number}.") for number in range(rows)]
    with tempfile.TemporaryDirectory() as folder:
        cpu = time.process_time()
        (log,) = inspect_ai.eval(
            Task(dataset=samples, scorer=includes()),
            model="instant/m",
            max_connections=64,
            log_dir=folder,
            log_realtime=False,
            display="none",
        )
        spent = time.process_time() - cpu
    assert log.status == "success", log.error
    assert log.results is not None
    assert log.results.completed_samples == rows
    print(json.dumps({"cpu_ms_per_row": 1000 * spent / rows, "version": inspect_ai.__version__}))


if __name__ == "__main__":
    main()
