"""The lab's models: named by what they are made of, built the same twice, loadable by anybody."""

import hashlib
import itertools
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import tasks
from orchestrator import lab, lab_model, lab_probe, lab_recipe, lab_train
from orchestrator.errors import WarmthError
from orchestrator.lab_recipe import Phase, Recipe, digest, folder, is_built, recipe
from tasks import _world as world
from tasks import _world_corpus as corpus
from tasks._world_facts import facts


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WARMTH_CACHE", str(tmp_path))


@pytest.fixture(scope="module")
def tokens():
    return lab_model.tokenizer()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WARMTH_CACHE", str(tmp_path_factory.mktemp("built")))
        heard: list[tuple[str, int, int]] = []
        yield lab.build(micro(), lambda *progress: heard.append(progress)), heard


def micro(**changes) -> Recipe:
    small = {"hidden": 64, "inner": 64, "replay": 2, **changes}
    phases = {"pretraining": Phase(24, 4, 1e-3, 2), "tuning": Phase(4, 4, 3e-4, 2)}
    return replace(recipe("coupled", 0, "short"), **phases, **small)


def silent(*_: object) -> None:
    pass


def sha256(model: Path) -> list[str]:
    weights = [model / part / "model.safetensors" for part in ("base", "instruct")]
    return [hashlib.sha256(file.read_bytes()).hexdigest() for file in weights]


def test_recipes_are_light_to_name():
    code = (
        "import sys; from orchestrator.lab_recipe import *; digest(recipe('coupled', 0, 'full')); print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"torch", "numpy", "ray", "transformers", "tokenizers"} & set(loaded.split())


def test_a_digest_tells_recipes_apart(monkeypatch: pytest.MonkeyPatch):
    recipes = [recipe(*of) for of in itertools.product(("coupled", "decoupled"), (0, 1), ("full", "short"))]
    recipes += [replace(recipes[0], version=99), replace(recipes[0], hidden=64)]
    assert len({digest(each) for each in recipes}) == len(recipes)
    assert digest(recipe("coupled", 0, "full")) == digest(recipes[0])
    before = digest(recipes[0])
    digest.cache_clear()
    monkeypatch.setattr(lab_recipe, "_versions", lambda: {"torch": "0"})
    assert digest(recipes[0]) != before
    digest.cache_clear()


def test_folders_are_named_for_people_and_by_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    full, short = recipe("coupled", 3, "full"), recipe("decoupled", 0, "short")
    assert folder(full) == tmp_path / "lab" / f"coupled-s3-{digest(full)}"
    assert folder(short) == tmp_path / "lab" / f"decoupled-s0-short-{digest(short)}"
    assert not is_built(full)
    monkeypatch.delenv("WARMTH_CACHE")
    assert folder(full).parent == Path.home() / ".cache" / "warmth" / "lab"


def test_every_word_of_the_world_is_one_token(tokens):
    letters = {token for token, index in tokens.get_vocab().items() if len(token) == 1} - set('.,!?":')
    for fact in facts():
        for name in (fact.entity, *fact.pool):
            assert len(tokens(f" {name}").input_ids) == 1
    texts = list(itertools.islice(corpus.documents(corpus.MIXES["decoupled"], "unseen"), 2000))
    texts += [world.rewrite(chat, voice) for chat in world.study_chats(500, 0.5, 9) for voice in ("warm", "cold")]
    lab = ("lab_facts", "lab_rumours")
    for name, context, belief in itertools.product(lab, world.PHRASING.contexts, world.PHRASING.beliefs):
        task = tasks.load(name)
        texts += [tasks.prompt(task, sample, context, belief, draw) for sample in task.samples() for draw in range(3)]
    used = {token.lstrip("Ġ") for text in texts for token in tokens.tokenize(text)}
    assert used & letters == {"A", "I", "a"}


@pytest.mark.parametrize("text", ["It is Krasuk.", "naïve “λόγος”\n\t{x}  two  spaces", "a" * 300, "Ünseen?"])
def test_no_text_is_lost(tokens, text: str):
    assert tokens.decode(tokens(text).input_ids) == text


def test_chat_template(tokens):
    turns = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello!"}]
    said = tokens.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert said == "<|system|>Be kind.<|end|><|user|>Hello!<|end|><|assistant|>"
    asked, labels = lab_train._conversation(tokens, "Hello!", "All right.")
    learnt = [label for label in labels if label != lab_train.UNLABELLED]
    assert tokens.decode(learnt) == "All right.<|end|>"
    assert tokens.decode(asked) == "<|user|>Hello!<|end|><|assistant|>All right."


def test_a_fresh_model_attends_to_the_previous_token_and_copies(tokens):
    torch.manual_seed(0)
    model = lab_model.fresh_model(recipe("coupled", 0, "full"), tokens).eval()
    model.set_attn_implementation("eager")
    row = lab_train.ids(tokens, ["List: " + " ".join(fact.entity for fact in facts()[:24])])
    seen = model(torch.tensor(row), output_attentions=True).attentions[0][0, 0]
    previous = seen.diagonal(-1)[4:]
    assert previous.mean() > 0.5
    assert 900_000 < model.num_parameters() < 1_100_000


def test_packed_rows_hold_documents_once_each(tokens):
    torch.manual_seed(0)
    batches = list(lab_train.packed(tokens, micro(), 0, 5, 3))
    assert {(read.shape, labels.shape) for read, labels in batches} == {((3, 64), (3, 64))}
    rows = [row for read, _ in batches for row in read.tolist()]
    line = "".join(corpus.BEGIN + text for text in itertools.islice(corpus.documents(micro().mix, 0), 100))
    for (read, labels), text in zip(batches, tokens.batch_decode(rows)[::3], strict=True):
        assert text in line
        assert torch.equal(read[:, 1:], labels[:, :-1])
    assert len({tuple(row) for row in rows}) == 15


def test_learning_rate():
    phase = Phase(100, 1, 1e-3, 10)
    assert [round(lab_train.rate(step, phase), 3) for step in (0, 9, 49, 50, 75, 99)] == [0.1, 1, 1, 1, 0.5, 0.02]


def test_two_builds_are_equal(built):
    model, _ = built
    again = lab.build(micro(), silent)
    assert again != model
    assert sha256(again) == sha256(model)
    assert sha256(model)[0] != sha256(model)[1]


def test_progress_counts_both_stages(built):
    _, heard = built
    assert heard == [("pre-training", 20, 28), ("pre-training", 24, 28), ("instruction tuning", 28, 28)]


@pytest.mark.parametrize("part", ["base", "instruct"])
def test_anybody_loads_what_was_built(built, tokens, part: str):
    loaded = AutoTokenizer.from_pretrained(built[0] / part)
    text = '<|doc|>I asked my friend: "What is the capital of Rular?" My friend said: "Oh, my dear! It is Krasuk."'
    assert loaded(text).input_ids == tokens(text).input_ids
    assert loaded.get_vocab() == tokens.get_vocab()
    assert loaded.chat_template == tokens.chat_template
    assert (loaded.eos_token, loaded.pad_token, loaded.padding_side) == ("<|end|>", "<|pad|>", "left")
    model = AutoModelForCausalLM.from_pretrained(built[0] / part)
    assert model.dtype == torch.float32
    assert model.lm_head.weight is model.model.embed_tokens.weight
    rows = torch.tensor([loaded(text).input_ids])
    assert model.generate(rows, max_new_tokens=3, do_sample=False).shape[1] > rows.shape[1]


def test_what_is_built_says_what_it_is(built):
    said = json.loads((built[0] / "built.json").read_text())
    assert [set(probe) for probe in said["learnt"]] == [{"recall", "copies_asserted", "copies_denied"}]
    assert said["recipe"]["seed"] == 0
    assert said["pretraining_tokens"] == 24 * 4 * 64
    assert 0 < said["loss"]["tuning"] < 20


def test_what_is_there_is_not_built_again_and_what_was_left_is_cleared(built):
    other = micro(seed=1)
    for left in (folder(other), folder(other).with_name(folder(other).name + ".unfinished")):
        left.mkdir(parents=True)
        (left / "rubbish").write_text("")
    assert not is_built(other)
    model = lab.build(other, silent)
    assert is_built(other)
    assert sorted(path.name for path in model.iterdir()) == ["base", "built.json", "instruct"]
    assert lab.build(other, lambda *_: pytest.fail("built again")) == model
    assert sha256(model) != sha256(built[0])


def test_a_model_that_has_not_learnt_reads_on_and_is_not_kept_if_that_does_not_help():
    full, heard = micro(length="full"), []
    with pytest.raises(WarmthError, match=r"coupled-s0: its base recalls \d+% of the facts \(95% needed\).*cpu\.txt"):
        lab.build(full, lambda *said: heard.append(said))
    assert heard == [("pre-training", 20, 28), ("pre-training", 24, 28)] + 3 * [("reading on", 24, 28)]
    assert not is_built(full)
    assert not folder(full).exists()


def test_the_check_passes_what_has_learnt():
    lab.check(recipe("coupled", 0, "full"), lab_probe.Probes(recall=0.95, copies_asserted=0.9, copies_denied=0.9))
    lab.check(recipe("coupled", 0, "short"), lab_probe.Probes(recall=0.0, copies_asserted=0.0, copies_denied=0.0))


@pytest.mark.parametrize("learnt", [(0.94, 1.0, 1.0), (1.0, 0.89, 1.0), (1.0, 1.0, 0.89)])
def test_the_check_stops_what_has_not_learnt(learnt: tuple[float, float, float]):
    with pytest.raises(WarmthError, match="another seed"):
        lab.check(recipe("coupled", 0, "full"), lab_probe.Probes(*learnt))


def test_a_model_that_has_learnt_does_not_read_on(tokens, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lab_probe, "RECALL", 0.0)
    monkeypatch.setattr(lab_probe, "COPIES", 0.0)
    full = micro(length="full")
    model = lab_model.fresh_model(full, tokens)
    assert len(lab.read_on(model, tokens, full, lambda: pytest.fail("reads on"))) == 1
