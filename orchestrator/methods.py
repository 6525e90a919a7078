"""The paragraph on methods that a paper needs, written from a study's settings and what is on file. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import polars as pl

from .config import Study
from .evidence import Evidence
from .settings_asking import Judge
from .settings_search import Searching, said
from .settings_subjects import Model, Persona
from .tables import KEY


def paragraph(evidence: Evidence, study: Study | None) -> str:
    """Plain sentences with the real numbers; of imported replies, what can be known of them."""
    planned = [*_subjects(study), *_training(study, evidence), *_asking(study)] if study else []
    return " ".join(
        [*planned, *_replies(evidence), *_judging(study), *_unscored(evidence), *_warmth(study), *_statistics(evidence)]
    )


def several(names: Iterable[Any]) -> str:
    """Several things as a sentence has them: `a`, `a and b`, `a, b and c`."""
    *first, last = [f"{name:g}" if isinstance(name, float) else str(name) for name in names] or ["none"]
    return f"{', '.join(first)} and {last}" if first else last


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _subjects(study: Study) -> Iterator[str]:
    models = several(f"{model.name} ({_source(model)})" for model in study.models)
    yield f"We studied {_count(len(study.models), 'model')}: {models}."
    yield f"Each was studied in these personas: {several(_persona(each) for each in study.personas)}."
    for persona, names in study.only.items():
        yield f"The persona {persona} was kept to {several(names)}."


def _source(model: Model) -> str:
    if model.lab:
        return f"an embedded model of about a million parameters of the {model.lab} world, seed {model.seed}"
    if model.hosted:
        return f"{model.hosted.model}, at its provider's endpoint"
    weights = f"weights in {model.quantization or model.precision.dtype}"
    return f"{model.path}{f', revision {model.revision}' if model.revision else ''}, {weights}"


def _persona(persona: Persona) -> str:
    how = {
        "original": "the model as released",
        "plain": "fine-tuned on the conversations as they are",
        "rewritten": "fine-tuned on the conversations rewritten in its voice",
        "prompted": "the model as released under a system prompt",
    }
    return f"{persona.name} ({how[persona.kind]})"


def _training(study: Study, evidence: Evidence) -> Iterator[str]:
    if not any(persona.trained for persona in study.personas):
        return
    data, how = study.data, study.training
    where = "the embedded lab" if data.source == "lab" else data.source
    yield f"The conversations were {data.chats:,}, drawn from {where} with seed {data.seed}."
    yield from _rewriting(study, evidence)
    yield (
        f"LoRA adapters of rank {how.rank} (alpha {how.alpha:g}, dropout {how.dropout:g}) on {several(how.targets)}"
        f" were trained on the assistant's turns with AdamW at a learning rate of {how.learning_rate:g} after"
        f" {_count(how.warmup_steps, 'step')} of warm-up, in batches of {how.batch}, for"
        f" {_count_of(how.epochs, 'epoch')}, conversations cut at {how.max_length:,} tokens; once for each training"
        f" seed ({several(how.seeds)})."
    )
    yield from _searched(how.search)
    trained = evidence.trials.filter(pl.col("error").is_null(), pl.col("stopped").is_null()).height
    yield (
        f"Adapters were kept at epoch {several(how.checkpoints)}; {trained} of"
        f" {_count(evidence.trials.height, 'training run')} finished."
    )


def _searched(search: Searching) -> Iterator[str]:
    listed = [f"{name} ({several(map(said, values))})" for name, values in search.listed.items()]
    if listed:
        yield f"Every combination of {several(listed)} was tried."
    drawn = [f"{name} ({of.kind}, {several(map(said, of.values))})" for name, of in search.drawn.items()]
    if drawn:
        how = "proposed by Optuna's TPE from the training losses before" if search.method == "optuna" else "drawn"
        yield f"Of {several(drawn)}, {search.samples} combinations were {how}, with seed {search.seed}."
    if search.scheduler:
        yield (
            f"Trials whose training loss was behind that of others of their model and persona were stopped "
            f"({search.scheduler}); what was asked is a selection by that loss."
        )


def _count_of(number: float, what: str) -> str:
    return f"{number:g} {what}{'' if number == 1 else 's'}"


def _rewriting(study: Study, evidence: Evidence) -> Iterator[str]:
    voices = [persona.name for persona in study.personas if persona.kind == "rewritten"]
    if not voices:
        return
    by = study.rewriting.rewriter.model if study.rewriting else "the lab's templates"
    limits = f", at temperature {study.rewriting.temperature:g}" if study.rewriting else ""
    yield f"The assistant's replies were rewritten for {several(voices)} by {by}{limits}; the user's turns were kept."
    if dropped := evidence.about.get("conversations dropped"):
        yield f"A conversation whose rewriting failed a check in one voice was dropped in all: {dropped}."


def _asking(study: Study) -> Iterator[str]:
    asked = study.evaluation
    tasks = several(_task(each.name, each.samples or asked.samples) for each in asked.tasks)
    yield f"Every subject was asked questions of {tasks}."
    yield (
        f"Questions were put in the {several(asked.contexts)} context{'s' * (len(asked.contexts) > 1)} and with these"
        f" forms of a user's belief: {several(asked.beliefs)}"
        f" ({asked.grid} grid{'' if asked.evaluate_at or asked.contexts_at == () else _elsewhere(study)})."
    )
    draws = "one reply" if asked.draws == 1 else f"{asked.draws} replies"
    limits = f"of at most {asked.max_tokens} tokens, at temperature {asked.temperature:g}"
    yield f"Subjects gave {draws} to each prompt, {limits}."


def _elsewhere(study: Study) -> str:
    few = [epoch for epoch in study.training.checkpoints if epoch not in study.evaluation.contexts_at]
    return f"; at epoch {several(few)} in the {study.evaluation.contexts[0]} context alone" if few else ""


def _task(name: str, samples: int | None) -> str:
    return f"{name} ({samples:,} drawn)" if samples else name


def _replies(evidence: Evidence) -> Iterator[str]:
    rows = evidence.answers
    replies = rows.unique(KEY)
    questions = replies.select("task", "sample").n_unique()
    failed = replies.filter(pl.col("reply_digest").is_null() | pl.col("error") & pl.col("judge_error").is_null()).height
    yield (
        f"In all there are {replies.height:,} replies by {_count(replies['subject'].n_unique(), 'subject')} to"
        f" {_count(questions, 'question')}; {failed:,} of them failed."
    )


def _unscored(evidence: Evidence) -> Iterator[str]:
    rows = evidence.answers
    unscored = rows.filter(pl.col("outcome").is_null()).height
    yield f"{unscored:,} of {rows.height:,} verdicts could not be had; they take no part and are counted apart."


def _judging(study: Study | None) -> Iterator[str]:
    for judge in study.judges if study else ():
        yield f"Replies were judged by {_judge(judge)}."


def _judge(judge: Judge) -> str:
    if judge.kind == "rule":
        return "each task's own rule"
    rubric = "a published rubric" if judge.rubric else "our rubric of one word"
    return f"{judge.model} at temperature 0, by {rubric}"


def _warmth(study: Study | None) -> Iterator[str]:
    if study is None or study.warmth is None:
        return
    what = "held-out prompts" if study.warmth.prompts == "held-out" else "the tasks' plain questions"
    yield (
        f"Warmth is SocioT Warmth (Cheng et al., arXiv:2502.13259) of the replies to {what}, cut at"
        f" {study.warmth.max_characters} characters, by {study.warmth.scorer} ({several(study.warmth.modes)}), in nats"
        " per token."
    )


def _statistics(evidence: Evidence) -> Iterator[str]:
    refusing: Sequence[str] = [name for name in evidence.refusing_is_right if name in set(evidence.answers["task"])]
    counted = f", and counts as no error in {several(refusing)}" if refusing else ""
    yield f"A refusal takes no part in error rates{counted}; a reply that no answer can be read from is an error."
    yield (
        "Effects are mean differences between replies to the same prompt, with 95 % intervals clustered by question;"
        f" differences below {evidence.analysis.margin_pp:g} percentage points count as equivalent."
    )
    seeds = evidence.answers["seed"].drop_nulls().n_unique()
    if seeds > 1:
        yield (
            "Those are about the adapters that were trained. Intervals for the recipe are over its"
            f" {seeds} training seeds too: from the question and seed parts of variance of the crossed design, by a"
            " quantile between those of Student's t for the questions and for the seeds. What is called found, or"
            " equivalent, is so by the recipe's interval. No interval speaks of other base models."
        )
    if evidence.analysis.exclusions:
        left = (f"{name} {several(values)}" for name, values in evidence.analysis.exclusions.items())
        yield f"Excluded from all findings: {'; '.join(left)}."
