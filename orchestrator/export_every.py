"""Evaluations in the layout of Every Eval Ever (schema 0.3.0): one JSON file and one of samples each.

They lie as that project's data do: `data/<task>/<developer>/<model>/<uuid>.json` and `<uuid>_samples.jsonl`.
"""

import hashlib
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

import tasks
from tasks._task import Hub

from . import effects, exporting, pushback, statistics
from .exporting import Evaluation, Row
from .imported import slug
from .store import Store

SCHEMA = "0.3.0"


def write(evaluation: Evaluation, folder: Path) -> None:
    """Write one evaluation: its samples as they come, then what they come to."""
    place = ("data", slug(evaluation.task), slug(_developer(evaluation)), slug(evaluation.subject))
    name, store = str(_uuid(evaluation)), Store(folder)
    with store.writing(*place, f"{name}_samples.jsonl") as aside, aside.open("w", encoding="utf-8") as out:
        count = 0
        for count, row in enumerate(_samples(evaluation), 1):  # noqa: B007
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
    samples = store.path(*place, f"{name}_samples.jsonl")
    with samples.open("rb") as content:
        checksum = hashlib.file_digest(content, "sha256").hexdigest()
    path = "/".join((*place, samples.name))
    about = {"format": "jsonl", "file_path": path, "hash_algorithm": "sha256", "checksum": checksum}
    whole = {**_whole(evaluation), "detailed_evaluation_results": {**about, "total_rows": count}}
    store.write_json(whole, *place, f"{name}.json")


def _uuid(evaluation: Evaluation) -> uuid.UUID:
    """The same for the same evaluation, in the form of a random one."""
    whole = "\x1f".join((evaluation.study, evaluation.subject, evaluation.task))
    return uuid.UUID(bytes=hashlib.sha256(whole.encode()).digest()[:16], version=4)


def _developer(evaluation: Evaluation) -> str:
    owner, slash, _ = str(evaluation.model.get("path") or "").partition("/")
    return owner if slash and owner else "lab" if evaluation.model.get("lab") else "unknown"


def _id(evaluation: Evaluation) -> str:
    return f"{evaluation.task}/{evaluation.subject}/{evaluation.made.timestamp():.0f}"


def _result(evaluation: Evaluation, judge: str) -> str:
    return f"{evaluation.task}.{judge}.error"


def _whole(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA,
        "evaluation_id": _id(evaluation),
        "retrieved_timestamp": f"{evaluation.made.timestamp():.0f}",
        "source_metadata": {
            "source_name": evaluation.study,
            "source_type": "evaluation_run",
            "source_organization_name": evaluation.study,
            "evaluator_relationship": "other",
        },
        "eval_library": {"name": "warmth", "version": exporting.program()},
        "model_info": _model(evaluation),
        "evaluation_results": [_of_judge(evaluation, str(judge), rows) for (judge,), rows in _by_judge(evaluation)],
    }


def _by_judge(evaluation: Evaluation) -> Any:
    return evaluation.rows.filter("scored").group_by("judge", maintain_order=True)


def _model(evaluation: Evaluation) -> dict[str, Any]:
    base, hosted = evaluation.model, bool(evaluation.model.get("hosted"))
    known = "externally_managed" if hosted else "self_deployed" if base else "unknown"
    weights = "closed_weights" if hosted else "open_weights" if base else "unknown"
    more = {name: str(value) for name, value in evaluation.who.items() if value is not None}
    return {
        "name": evaluation.subject,
        "id": f"{_developer(evaluation)}/{evaluation.subject}",
        "developer": _developer(evaluation),
        "additional_details": {"deployment_type": known, "model_availability": weights, **more},
    }


def _of_judge(evaluation: Evaluation, judge: str, rows: pl.DataFrame) -> dict[str, Any]:
    share = rows.with_columns(share=pl.col("wrong").cast(pl.Float64), question=effects.QUESTION)
    found = statistics.mean_by_question(share, ["judge"], "question", ["share"]).row(0, named=True)
    return {
        "evaluation_result_id": _result(evaluation, judge),
        "evaluation_name": evaluation.task,
        "source_data": _source(evaluation),
        "metric_config": {
            "evaluation_description": "share of scored replies that are errors, all contexts and beliefs together",
            "metric_id": "warmth.error_rate",
            "metric_name": f"error rate by {judge}",
            "metric_kind": "error_rate",
            "metric_unit": "proportion",
            "lower_is_better": True,
            "score_type": "continuous",
            "min_score": 0,
            "max_score": 1,
        },
        "score_details": {
            "score": found["share"],
            "details": {"questions": str(found["n_questions"]), "judge": judge},
            "uncertainty": {"num_samples": rows.height, **_interval(found)},
        },
    }


def _interval(found: Row) -> dict[str, Any]:
    if found["share_low"] is None:
        return {}
    ends = {"lower": found["share_low"], "upper": found["share_high"]}
    return {"confidence_interval": {**ends, "confidence_level": 0.95, "method": "clustered by question"}}


def _source(evaluation: Evaluation) -> dict[str, Any]:
    name = exporting.source(evaluation.task)
    samples = tasks.load(name).samples if name in tasks.names() else None
    asked = evaluation.rows["sample"].n_unique()
    if isinstance(samples, Hub) and "/" in samples.name:
        repo = {"hf_repo": samples.name, "hf_split": samples.split}
        return {"dataset_name": evaluation.task, "source_type": "hf_dataset", **repo, "samples_number": asked}
    return {"dataset_name": evaluation.task, "source_type": "other"}


def _samples(evaluation: Evaluation) -> Iterator[Row]:
    for _, rows in evaluation.replies():
        yield from (_sample(evaluation, row) for row in rows if exporting.scored(row) is not None)


def _sample(evaluation: Evaluation, row: Row) -> Row:
    right = bool(exporting.scored(row))
    reference = list(evaluation.targets.get(row["sample"], ()))
    names = ("context", "belief", "draw", "outcome", "judge", "row_seed")
    said = pushback.asked(row["prompt"], row.get("first_reply"), row.get("pushback"))
    return {
        "schema_version": SCHEMA,
        "evaluation_id": _id(evaluation),
        "model_id": f"{_developer(evaluation)}/{evaluation.subject}",
        "evaluation_name": evaluation.task,
        "evaluation_result_id": _result(evaluation, row["judge"]),
        "sample_id": row["sample"],
        "sample_hash": hashlib.sha256(f"{said}{reference}".encode()).hexdigest(),
        "interaction_type": "single_turn",
        "input": {"raw": said, "reference": reference},
        "output": {"raw": [row["reply"] or ""]},
        "answer_attribution": [
            {
                "turn_idx": 0,
                "source": "output.raw",
                "extracted_value": row["outcome"],
                "extraction_method": "custom",
                "is_terminal": True,
            }
        ],
        "evaluation": {"score": float(not right), "is_correct": right},
        **_tokens(row),
        "metadata": {name: str(row[name]) for name in names},
    }


def _tokens(row: Row) -> Row:
    asked, said = row["prompt_tokens"], row["reply_tokens"]
    if asked is None or said is None:
        return {}
    return {"token_usage": {"input_tokens": asked, "output_tokens": said, "total_tokens": asked + said}}
