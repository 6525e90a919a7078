"""Evaluations as Inspect's logs (`.eval`): zip files of JSON, in the layout that inspect_ai 0.3 reads (schema 2)."""

import json
import zipfile
from pathlib import Path
from typing import Any

import polars as pl

from . import exporting, tables
from .exporting import Evaluation, Row
from .imported import slug
from .store import Store

SCHEMA = 2
_DAY_ONE = (1980, 1, 1, 0, 0, 0)
"""The same bytes for the same run: members of a zip file carry a time."""

_STOPS = {"stop": "stop", "length": "max_tokens", "content_filter": "content_filter"}


def write(evaluation: Evaluation, folder: Path) -> None:
    """Write one evaluation to `<subject>_<task>.eval`, its samples as they come."""
    name, summaries = f"{evaluation.name}.eval", []
    with Store(folder).writing(name) as aside, zipfile.ZipFile(aside, "w", zipfile.ZIP_DEFLATED) as log:
        header = _header(evaluation)
        _member(log, "_journal/start.json", {name: header[name] for name in ("version", "eval", "plan")})
        for reply, rows in evaluation.replies():
            sample = _sample(evaluation, reply, rows)
            summaries.append({name: sample[name] for name in _SUMMARY if name in sample})
            _member(log, f"samples/{sample['id']}_epoch_{sample['epoch']}.json", sample)
        _member(log, "summaries.json", summaries)
        _member(log, "header.json", header)


_SUMMARY = ("id", "epoch", "input", "target", "metadata", "scores", "completed")


def _member(log: zipfile.ZipFile, name: str, content: Any) -> None:
    info = zipfile.ZipInfo(name, _DAY_ONE)
    info.compress_type = zipfile.ZIP_DEFLATED
    log.writestr(info, json.dumps(content, ensure_ascii=False))


def _header(evaluation: Evaluation) -> dict[str, Any]:
    digest = tables.digest(evaluation.study, evaluation.subject, evaluation.task, length=22)
    replies = evaluation.rows.unique(tables.KEY)
    when = evaluation.made.isoformat()
    return {
        "version": SCHEMA,
        "status": "success",
        "eval": {
            "eval_id": digest,
            "run_id": tables.digest(evaluation.study, length=22),
            "task_id": digest,
            "created": when,
            "task": evaluation.task,
            "model": f"warmth/{evaluation.subject}",
            "dataset": {"name": evaluation.task, "samples": replies["sample"].n_unique()},
            "config": {},
            "packages": {"warmth": exporting.program()},
            "metadata": {"study": evaluation.study, **evaluation.who},
        },
        "plan": {"name": "warmth", "steps": [], "config": {}},
        "results": {
            "total_samples": replies.height,
            "completed_samples": replies.height,
            "scores": [_score_of(judge, rows) for (judge,), rows in _by_judge(evaluation)],
        },
        "stats": {"started_at": when, "completed_at": when, "model_usage": {}},
    }


def _by_judge(evaluation: Evaluation) -> Any:
    return evaluation.rows.group_by("judge", maintain_order=True)


def _score_of(judge: object, rows: pl.DataFrame) -> dict[str, Any]:
    counted = rows.filter("scored")
    metrics = {"accuracy": 1 - counted["wrong"].mean()} if counted.height else {}  # type: ignore[operator]
    return {
        "name": judge,
        "scorer": judge,
        "scored_samples": counted.height,
        "unscored_samples": rows.height - counted.height,
        "metrics": {name: {"name": name, "value": value} for name, value in metrics.items()},
    }


def _sample(evaluation: Evaluation, reply: Row, rows: list[Row]) -> dict[str, Any]:
    said = reply["reply"] or ""
    answer = {"role": "assistant", "content": said, "source": "generate", "model": evaluation.subject}
    system = [{"role": "system", "content": reply["system"]}] if reply["system"] else []
    asked = [{"role": "user", "content": reply["prompt"], "source": "input"}]
    if reply.get("pushback") is not None:
        before = {"role": "assistant", "content": reply["first_reply"] or "", "source": "generate"}
        asked += [before, {"role": "user", "content": reply["pushback"], "source": "input"}]
    scores = {row["judge"]: score for row in rows if (score := _score(row))}
    return {
        "id": f"{slug(reply['sample'])}.{reply['context']}.{reply['belief']}",
        "epoch": reply["draw"] + 1,
        "input": reply["prompt"],
        "target": list(evaluation.targets.get(reply["sample"], ())),
        "messages": [*system, *asked, *([answer] if reply["reply"] is not None else [])],
        "output": {
            "model": evaluation.subject,
            "choices": [{"message": answer, "stop_reason": _STOPS.get(reply["finish_reason"], "unknown")}],
            "completion": said,
            "time": reply["seconds"],
        },
        "scores": scores,
        "metadata": {
            **{name: reply[name] for name in ("sample", "context", "belief", "draw", "row_seed", "prompt_set")},
            "outcomes": {row["judge"]: row["outcome"] for row in rows},
        },
        **_failure(reply),
        "completed": True,
    }


def _score(row: Row) -> dict[str, Any] | None:
    """Inspect's C and I; none where a reply takes no part in the error rate, which leaves the sample unscored."""
    right = exporting.scored(row)
    return None if right is None else {"value": "C" if right else "I", "answer": row["outcome"]}


def _failure(reply: Row) -> dict[str, Any]:
    if reply["reply"] is not None:
        return {}
    return {"error": {"message": "no reply", "traceback": "", "traceback_ansi": ""}}
