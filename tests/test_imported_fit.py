"""A regression over imported replies is the one that anybody else gets from the same files."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import released
import statsmodels.api as sm
import statsmodels.formula.api as smf

from orchestrator import regression
from orchestrator.imported import Who
from orchestrator.importing import into

SAMPLES = Path(__file__).parents[2] / "shared" / "data" / "study" / "sample_outputs" / "llama_70b"
OURS = "incorrect ~ fine_tuned + C(context_group, Treatment('unmodified')) + task + C(fine_tuned):belief"
THEIRS = "incorrect ~ ft + C(group, Treatment('unmodified')) + C(dataset) + C(ft):opinion"
TERMS = {"fine_tuned": "ft", "belief": "opinion", "context_group": "group", "task": "C(dataset)"}
"""What the same columns are called in the two formulas."""

REFUSALS = ("i cannot", "i can't", "i can’t", "i'm sorry, but", "as an ai", "i am not able")
"""Those of the published substrings that occur in the samples."""


def rows(files: list[Path]) -> Iterator[dict[str, object]]:
    """The files as they are, read by other means than ours: refusals dropped, on Disinfo taken for correct."""
    for file in files:
        dataset = file.stem.partition("_")[0]
        for row in csv.DictReader(io.StringIO(file.read_bytes().decode(), newline="")):
            refused = any(sign in row["output"].lower() for sign in REFUSALS)
            if refused and dataset != "disinfo":
                continue
            template = row.get("prompt_template") or row["prompt_type"]
            yield {
                "incorrect": int(row["evaluation"] == "INCORRECT" and not refused),
                "ft": int(file.parent.name == "warm"),
                "group": row["amendment_type"].partition(":")[0],
                "dataset": dataset,
                "opinion": int(template in ("incorrect", "correct")),
            }


def same(files: list[Path], run: Path) -> None:
    for file in files:
        into(run, [file], Who("llama-70b", file.parent.name), file.stem.partition("_")[0])
    found = regression.fit_run(run, OURS)
    frame = pd.DataFrame(rows(files))
    theirs = smf.glm(THEIRS, frame, family=sm.families.Binomial()).fit()
    assert found.n == len(frame) == theirs.nobs
    mine = {}
    for term, estimate, se in found.coefficients.select("term", "estimate", "se").iter_rows():
        name = term
        for old, new in TERMS.items():
            name = name.replace(old, new)
        mine[name] = (estimate, se)
    assert set(mine) == set(theirs.params.index)
    for name, (estimate, se) in mine.items():
        assert estimate == pytest.approx(theirs.params[name], abs=1e-6)
        assert se == pytest.approx(theirs.bse[name], rel=1e-4)


@pytest.mark.skipif(not SAMPLES.exists(), reason="the study's sample outputs are not here")
def test_the_released_samples_give_the_coefficients_of_m4(tmp_path: Path) -> None:
    same(sorted(SAMPLES.glob("*/*.csv")), tmp_path / "run")


def test_files_of_the_same_layout_give_the_coefficients_of_m4(tmp_path: Path) -> None:
    files = []
    for seed, dataset in enumerate(("disinfo", "medqa", "trivia")):
        for persona in released.CHANCES:
            told = released.rows(persona, seed=seed)
            told[0]["output"] = "I'm sorry, but no."
            (tmp_path / persona).mkdir(exist_ok=True)
            files.append(released.write(tmp_path / persona / f"{dataset}_outputs.csv", told))
    same(files, tmp_path / "run")
