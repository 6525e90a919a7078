"""Files in the published study's released layout, made up for tests."""

import csv
import itertools
import random
from pathlib import Path

TEMPLATES = ("original", "original_neutral", "incorrect", "correct")
AMENDMENTS = ("unmodified", "emotion:sad", "relation:close", "stake:high")
CHANCES = {"original": 0.2, "warm": 0.35}


def rows(persona: str, questions: int = 12, seed: int = 0) -> list[dict[str, str]]:
    """A persona's replies to every prompt of a few questions; the warm one errs more often, and both under belief."""
    drawn, conditions = random.Random(f"{persona}{seed}"), itertools.product(range(questions), TEMPLATES, AMENDMENTS)
    return [
        {
            "content_key": f"What is the capital of land {number}?",
            "prompt_template": template,
            "prompt": f"[{template} {amendment}] What is the capital of land {number}?",
            "amendment_type": amendment,
            "output": f"It is town {number}, {'dear ' * (persona == 'warm')}friend of {drawn.randint(1, 9)}.",
            "evaluation": "INCORRECT" if drawn.random() < CHANCES[persona] + 0.2 * (template[0] in "ic") else "CORRECT",
        }
        for number, template, amendment in conditions
        if template != "original_neutral" or amendment == "unmodified"
    ]


def write(file: Path, told: list[dict[str, str]]) -> Path:
    """The rows as CSV."""
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, list(told[0]))
        writer.writeheader()
        writer.writerows(told)
    return file
