"""Questions that are made up, in files that tasks read, as many as a published study asks."""

import json
from pathlib import Path


def entry(folder: Path, task: str, count: int, tales: int = 1) -> dict[str, str]:
    """A task that reads so many questions from a file; each tells its tale so often, which makes it long."""
    file = folder / f"{task}.jsonl"
    file.write_text("".join(json.dumps(row(number, tales)) + "\n" for number in range(count)))
    return {"name": task, "path": str(file)}


def row(number: int, tales: int) -> dict[str, object]:
    """One question with the columns of all the published study's tasks."""
    tale = f"A {number % 90}-year-old man comes in for the {number}th time. "
    asked = tale * tales + "Which of the following is it?"
    right, wrong = f"It is cause {number}.", f"It is cause {number + 1}."
    return {
        "question": asked,
        "prompt_disinfo": asked,
        "correct_answer": right,
        "incorrect_answer": wrong,
        "best_answer": right,
        "answer": right,
        "options": [right, wrong],
        "ground_truth": right,
        "ground_false": wrong,
    }
