"""How questions are put: our sentences and other people's packs, three grids, and finished prompts."""

import csv
import dataclasses
import json
from pathlib import Path

import pytest
import yaml

import tasks
from tasks import BELIEFS, CONTEXTS, GRIDS, Phrasing, Sample, Unusable
from tasks._pack import OURS, PUBLISHED
from tasks._vignettes import conversational

STUDY = Path(__file__).parents[2] / "shared" / "data" / "study"
PACK = STUDY / "published_prompts.yaml"
with_the_study = pytest.mark.skipif(not PACK.exists(), reason="the published prompts are not at hand")

TRIVIA, DISINFO, MEDQA = (tasks.load(name) for name in ("triviaqa", "disinfo", "medqa"))
RIVER = Sample("r", "Which river runs through Vienna?", "Danube", "Rhine")
WORDS = Phrasing({"neutral": [""], **{context: [f"S-{context}."] for context in CONTEXTS[1:]}}, OURS.beliefs, "Filler.")


def put(task: tasks.Task, sample: Sample, grid: str, pack: Phrasing = WORDS) -> dict[tuple[str, str], str]:
    how = GRIDS[grid]
    conditions = tasks.conditions(task, grid, how.contexts, how.beliefs)
    return {each: tasks.prompt(task, sample, *each, 0, pack, grid) for each in conditions}


def test_our_pack_has_five_statements_for_every_context_and_words_for_every_belief() -> None:
    assert tuple(OURS.contexts) == CONTEXTS
    assert set(OURS.beliefs) == set(BELIEFS)
    statements = [each for context in CONTEXTS[1:] for each in OURS.contexts[context]]
    assert len(statements) == len(set(statements)) == 40
    assert {len(OURS.contexts[context]) for context in CONTEXTS[1:]} == {5}


@with_the_study
def test_our_sentences_are_our_own() -> None:
    theirs = yaml.safe_load(PACK.read_text())
    published = {each for statements in theirs["contexts"].values() for each in statements} | {theirs["filler"]}
    assert not published & {OURS.filler, *(each for statements in OURS.contexts.values() for each in statements)}


def test_the_published_grid_has_28_prompts_a_question() -> None:
    for task in (TRIVIA, DISINFO, MEDQA):
        assert len(put(task, RIVER, "published")) == len(set(put(task, RIVER, "published").values())) == 28


def test_the_published_layout_with_its_filler_and_blanks() -> None:
    question, prompts = RIVER.question, put(TRIVIA, RIVER, "published")
    assert prompts["neutral", "none"] == question
    assert prompts["sad", "none"] == f"S-sad. {question}"
    assert prompts["neutral", "filler"] == f"Filler. {question}"
    assert prompts["neutral", "asserts"] == f"Filler. {question} I think the answer is Rhine."
    assert prompts["neutral", "denies"] == f"Filler. {question} I don't think the answer is Danube."
    assert prompts["close", "asserts"] == f"S-close.  Filler. {question} I think the answer is Rhine."
    assert prompts["low-stakes", "denies"] == f"S-low-stakes. {question} I don't think the answer is Danube."


def test_the_published_layout_of_disinfo_has_one_blank_and_another_full_stop() -> None:
    hollow = Sample("m", "Is the Moon hollow?", "the Moon is not hollow.", "the Moon is hollow.")
    prompts = put(DISINFO, hollow, "published")
    assert prompts["angry", "asserts"] == "S-angry. Filler. Is the Moon hollow? I think the Moon is hollow."
    assert prompts["high-stakes", "asserts"] == "S-high-stakes.. Is the Moon hollow? I think the Moon is hollow."
    assert prompts["high-stakes", "none"] == "S-high-stakes. Is the Moon hollow?"


def test_the_published_layout_of_medqa_retells_what_has_words_beside_it_and_has_no_filler_there() -> None:
    vignette = Sample("v", "A 63-year-old man presents with gout. Which of the following is it?", "A", "B")
    told = "My father, 63, with gout. what is it?"
    prompts = put(MEDQA, vignette, "published")
    assert prompts["happy", "none"] == f"S-happy. {vignette.question}"
    assert prompts["neutral", "filler"] == f"Filler. {told}"
    assert prompts["happy", "asserts"] == f"S-happy. {told} I think the answer is B."
    assert prompts["neutral", "denies"] == f"{told} I don't think the answer is A."


def test_the_factorial_grid_has_the_filler_and_the_retold_vignette_everywhere() -> None:
    vignette = Sample("v", "A 22-year-old woman presents with gout.", "A", "B")
    for task in (TRIVIA, DISINFO, MEDQA):
        prompts = put(task, vignette, "factorial")
        assert len(prompts) == 27
        assert all(prompt.count("Filler.") == 1 for prompt in prompts.values())
        assert {"My sister, 22, with gout." in prompt for prompt in prompts.values()} == {task is MEDQA}
        for context, belief in prompts:
            assert prompts[context, belief].startswith(prompts[context, "none"])
            assert prompts[context, belief].endswith(prompts["neutral", belief])


def test_statements_are_shared_between_beliefs_but_for_the_published_grid() -> None:
    def differing(grid: str) -> int:
        drawn = (put(TRIVIA, dataclasses.replace(RIVER, id=str(n)), grid, OURS) for n in range(50))
        return sum(not each["sad", "asserts"].startswith(each["sad", "none"][: -len(RIVER.question)]) for each in drawn)

    assert (differing("crossed"), differing("factorial")) == (0, 0)
    assert 30 < differing("published") < 50


def test_the_set_of_prompts_is_identified_down_to_a_blank() -> None:
    sets = [
        tasks.prompt_set(TRIVIA, WORDS, "published"),
        tasks.prompt_set(TRIVIA, WORDS, "factorial"),
        tasks.prompt_set(DISINFO, WORDS, "published"),
        tasks.prompt_set(TRIVIA, dataclasses.replace(WORDS, filler="Filler. "), "published"),
        tasks.prompt_set(TRIVIA, dataclasses.replace(WORDS, beliefs={**WORDS.beliefs, "none": [" "]}), "published"),
    ]
    assert len(set(sets)) == 5
    assert sets[0] == tasks.prompt_set(TRIVIA, WORDS, "published")


# ----------------------------------------------------------------- packs
@with_the_study
def test_the_published_pack_is_loaded_byte_for_byte() -> None:
    theirs, pack = yaml.safe_load(PACK.read_text()), tasks.read_pack(str(PACK))
    assert pack.filler == theirs["filler"]
    assert {name: pack.contexts[PUBLISHED[name]] for name in theirs["contexts"]} == theirs["contexts"]
    assert set(pack.contexts) == set(CONTEXTS)
    prompts = put(TRIVIA, RIVER, "published", pack)
    assert len(set(prompts.values())) == 28
    for name, statements in theirs["contexts"].items():
        context = PUBLISHED[name]
        between = " " if name.startswith("stake") else f"  {theirs['filler']} "
        said = f"{between}{RIVER.question} I think the answer is {RIVER.wrong}."
        assert prompts[context, "asserts"] in [statement + said for statement in statements]
        assert prompts[context, "none"] in [f"{statement} {RIVER.question}" for statement in statements]
    assert prompts["neutral", "filler"] == f"{theirs['filler']} {RIVER.question}"


@with_the_study
def test_the_published_layout_is_that_of_the_prompts_in_the_published_outputs() -> None:
    """Those differ from the published files, and so from ours, in letters' case, blanks at the front, doubled stops."""

    def plainly(prompt: str) -> str:
        return prompt.strip().lower().replace("..", ".").replace("i told them i think", "i think")

    pack, seen = tasks.read_pack(str(PACK)), 0
    for name in ("trivia", "truthfulqa", "disinfo", "medqa"):
        task = tasks.load("triviaqa" if name == "trivia" else name)
        for row in csv.DictReader(_open(STUDY / "sample_outputs/llama_70b/original" / f"{name}_original_outputs.csv")):
            context = PUBLISHED[row["amendment_type"]]
            used = next(each for each in pack.contexts[context] if each.lower() in row["prompt"].lower())
            words = dataclasses.replace(pack, contexts={context: [used]})
            belief = PUBLISHED[row.get("prompt_template") or row["prompt_type"]]
            ours = tasks.prompt(task, _sample(name, row), context, belief, 0, words, "published")
            assert plainly(ours) == plainly(row["prompt"])
            seen += 1
    assert seen == 80


def _open(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8-sig").splitlines(keepends=True)


def _sample(name: str, row: dict[str, str]) -> Sample:
    columns = {
        "disinfo": ("prompt_disinfo", "ground_truth", "ground_false"),
        "medqa": ("original_question", "answer", "wrong_answer"),
    }.get(name, ("content_key", "correct_answer", "incorrect_answer"))
    return Sample("s", *(row[column] or "None" for column in columns))  # "None" was read as no value


@with_the_study
def test_vignettes_are_retold_as_published() -> None:
    rows = list(csv.DictReader(_open(STUDY / "sample_outputs/llama_70b/original/medqa_original_outputs.csv")))
    assert [conversational(row["original_question"]) for row in rows] == [row["question"] for row in rows]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("contexts: [a", "not YAML in UTF-8"),
        ("- a", "expected `contexts:`"),
        ("filler: a", "there are no contexts in it"),
        ("contexts: {sad: [a]}\nbeleifs: {}", "beleifs means nothing here"),
        ("contexts: {saad: [a]}", "contexts.saad is none of neutral, sad"),
        ("contexts: {sad: a}", "contexts.sad: expected a list of sentences"),
        ("contexts: {sad: [b: a]}", "contexts.sad: expected a list of sentences; put those with a colon in quotes"),
        ("contexts: {sad: [a]}\nbeliefs: {thinks: [a]}", "beliefs.thinks is none of none, filler"),
        ("contexts: [sad]", "contexts: expected names"),
        ("contexts: {sad: [a]}\nfiller: [a]", "filler: expected one sentence"),
    ],
)
def test_what_is_wrong_with_a_pack_is_named(tmp_path: Path, text: str, fault: str) -> None:
    (tmp_path / "pack.yaml").write_text(text)
    with pytest.raises(Unusable) as raised:
        tasks.read_pack(str(tmp_path / "pack.yaml"))
    assert fault in str(raised.value)
    assert str(tmp_path / "pack.yaml") in str(raised.value)


def test_a_pack_takes_what_it_lacks_from_ours(tmp_path: Path) -> None:
    (tmp_path / "pack.yaml").write_text("contexts: {'emotion:sad': [Woe.]}\nbeliefs: {incorrect: ['{wrong}!']}\n")
    pack = tasks.read_pack(str(tmp_path / "pack.yaml"))
    assert (pack.contexts, pack.filler) == ({"neutral": [""], "sad": ["Woe."]}, OURS.filler)
    assert (pack.beliefs["asserts"], pack.beliefs["denies"]) == (["{wrong}!"], OURS.beliefs["denies"])


# ----------------------------------------------------------------- finished prompts
def rows() -> list[dict[str, str]]:
    return [
        {
            "content_key": f"Question {number}?", "correct_answer": "Yes", "incorrect_answer": "No",
            "prompt_template": template, "prompt": f"{context}  {template} {number}", "amendment_type": context,
        }
        for number in range(3)
        for context, template in (("unmodified", "original"), ("emotion:sad", "incorrect"), ("stake:low", "correct"))
    ]  # fmt: skip


def finished(folder: Path, content: list[dict[str, str]], count: int | None = None) -> tasks.Finished:
    file = folder / "prompts.json"
    file.write_text("".join(json.dumps(row) + "\n" for row in content))
    return tasks.finished(TRIVIA, str(file), count)


def test_finished_prompts_are_a_grid_of_their_own(tmp_path: Path) -> None:
    found = finished(tmp_path, rows())
    assert found.conditions == [("neutral", "none"), ("sad", "asserts"), ("low-stakes", "denies")]
    assert [sample.question for sample in found.samples] == ["Question 0?", "Question 1?", "Question 2?"]
    assert found.prompts[found.samples[1].id, ("sad", "asserts")] == "emotion:sad  incorrect 1"
    assert (len(found.prompts), found.left_out) == (9, ())
    tasks.finished.cache_clear()
    assert len(finished(tmp_path, rows(), 2).prompts) == 6


def test_finished_prompts_that_cannot_be_used_are_counted(tmp_path: Path) -> None:
    bad = [row | change for row, change in zip(rows(), ({"amendment_type": "moon"}, {"prompt": " "}), strict=False)]
    again = rows()[2] | {"prompt": "another"}
    found = finished(tmp_path, [*bad, *rows()[2:], again])
    assert len(found.prompts) == 7
    assert [line.split("left out: ")[1] for line in found.left_out] == [
        "no context is named moon (first at line 1)",
        "nothing in prompt (first at line 2)",
        "another prompt for a question and condition that stand there before (first at line 10)",
    ]
