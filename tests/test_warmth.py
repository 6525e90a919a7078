"""SocioT Warmth against a slow reimplementation of its definition, one string at a time."""

import json
import math
import statistics
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from tiny import tiny_tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, GPT2LMHeadModel

from orchestrator import measure, models, texts, warmth
from orchestrator.__main__ import main
from orchestrator.errors import WarmthError
from orchestrator.settings_subjects import Model
from orchestrator.settings_warmth import LAB, Warmth
from orchestrator.warmth import Ruler

TEXTS = [
    "I am so glad that you asked!",
    "",
    "No.",
    'She said "yes", and then: "no".',
    "Half of a pair: \ud83d; a whole one: \U0001f600.",
    "long " * 400,
    "a {text} with braces",
    "No.",
]
WARM, COLD = ("friend", "lover", "mentor", "idol"), ("stranger", "enemy", "examiner", "dictator")


def gpt2(folder: Path, dropout: float) -> Path:
    """A random GPT-2 of bytes."""
    torch.manual_seed(1)
    tokenizer = tiny_tokenizer()
    shape = {"n_layer": 2, "n_embd": 32, "n_head": 2, "initializer_range": 0.3}
    drops = {"resid_pdrop": dropout, "embd_pdrop": dropout, "attn_pdrop": dropout}
    GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), **shape, **drops)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def dropping(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return gpt2(tmp_path_factory.mktemp("dropping"), 0.1)


@pytest.fixture(scope="module")
def sure(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return gpt2(tmp_path_factory.mktemp("sure"), 0.0)


def strings(text: str, words: tuple[str, ...]) -> list[str]:
    cut = text[:300].encode("utf-8", "replace").decode()
    return [f'{"My" if word == "friend" else "The"} {word} said, "{cut}"' for word in words]


class Slow:
    def __init__(self, folder: Path) -> None:
        self.tokenizer, self.model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)

    def tokens(self, string: str) -> list[int]:
        return self.tokenizer(string).input_ids

    def exact(self, text: str) -> float:
        """Mean over openers of the mean over tokens, each token's log-probability worked out from its logits."""
        self.model.eval()
        sides = []
        for words in (WARM, COLD):
            means = []
            for string in strings(text, words):
                tokens, logprobs = self.tokens(string), []
                logits = self.model(input_ids=torch.tensor([tokens])).logits[0].double()
                for place in range(1, len(tokens)):
                    before = logits[place - 1]
                    logprobs.append(float(before[tokens[place]] - torch.log(torch.exp(before).sum())))
                means.append(sum(logprobs) / len(logprobs))
            sides.append(sum(means) / len(means))
        return sides[0] - sides[1]

    def published(self, text: str, repeats: int) -> tuple[float, float]:
        """Passes of a side's strings as one batch padded with token 0, the loss a mean over all of its positions."""
        self.model.train()
        means, errors = [], []
        for words in (WARM, COLD):
            rows = [self.tokens(string) for string in strings(text, words)]
            width = max(len(row) for row in rows)
            tokens = torch.tensor([row + [0] * (width - len(row)) for row in rows])
            mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
            losses = [
                float(self.model(input_ids=tokens, attention_mask=mask, labels=tokens).loss) for _ in range(repeats)
            ]
            means.append(-statistics.mean(losses))
            errors.append(statistics.stdev(losses) / math.sqrt(repeats))
        return means[0] - means[1], math.sqrt(errors[0] ** 2 + errors[1] ** 2)


@torch.no_grad()
def test_the_exact_mode_is_the_mean_over_each_string_s_own_tokens(dropping: Path) -> None:
    slow = Slow(dropping)
    for text, sides in zip(TEXTS, Ruler(str(dropping)).measure(TEXTS), strict=True):
        assert sides.warmth == pytest.approx(slow.exact(text), abs=1e-5)
        assert sides.sem is None


def test_texts_score_the_same_together_and_alone(dropping: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warmth, "MOST_LOGITS", 1500 * 262)
    ruler = Ruler(str(dropping))
    together = [sides.warmth for sides in ruler.measure(TEXTS)]
    assert together == pytest.approx([ruler.measure([text])[0].warmth for text in TEXTS], abs=1e-5)
    assert ruler.measure([]) == []


@torch.no_grad()
def test_the_faithful_mode_without_dropout_is_one_loss_over_the_padded_batch(sure: Path) -> None:
    slow = Slow(sure)
    for text, sides in zip(TEXTS, Ruler(str(sure)).measure(TEXTS, "faithful"), strict=True):
        assert sides.warmth == pytest.approx(slow.published(text, 2)[0], abs=1e-5)
        assert sides.sem == pytest.approx(0, abs=1e-6)


@torch.no_grad()
def test_padding_counts_in_the_faithful_mode_alone(sure: Path) -> None:
    ruler = Ruler(str(sure))
    (exact,), (faithful,) = ruler.measure(["No."]), ruler.measure(["No."], "faithful")
    assert abs(exact.warmth - faithful.warmth) > 1e-3


@torch.no_grad()
def test_dropout_repeats_exactly_in_any_company_and_its_error_is_that_of_the_mean(dropping: Path) -> None:
    ruler, (text, other) = Ruler(str(dropping)), (TEXTS[2], TEXTS[0])
    torch.manual_seed(3)
    state = torch.random.get_rng_state()
    (alone,) = ruler.measure([text], "faithful")
    assert ruler.measure([other, text], "faithful")[1] == alone == Ruler(str(dropping)).measure([text], "faithful")[0]
    assert torch.equal(torch.random.get_rng_state(), state)
    mean, error = Slow(dropping).published(text, 100)
    assert alone.sem == pytest.approx(error, rel=0.35)
    assert abs(alone.warmth - mean) < 4.5 * math.hypot(error, alone.sem or 0)


def test_the_lab_s_ruler_is_its_own_and_other_scorers_take_the_published_openers() -> None:
    lab, other = Model(name="base", lab="coupled"), Model(name="other", path="x/y")
    assert models.openers(Warmth(scorer="base"), [lab, other]) == LAB
    warm, cold = models.openers(Warmth(scorer="other"), [lab, other])
    assert list(warm) == strings("{text}", WARM)
    assert list(cold) == strings("{text}", COLD)
    own = Warmth(scorer="base", warm_openers=["Dear {text}"])
    assert models.openers(own, [lab]) == (("Dear {text}",), LAB[1])
    named = measure.rulers(Warmth(scorer="base", modes=["eval", "faithful"]), [lab])
    assert len(set(named.values())) == 2
    assert (
        measure.rulers(Warmth(scorer="base", warm_openers=LAB[0], cold_openers=LAB[1]), [lab])["eval"] == named["eval"]
    )


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("a.txt", "one\n\n[three]\r\n", ["one", "", "[three]"]),
        ("a", "\ufeffone\n{two}", ["one", "{two}"]),
        ("a.json", '[\n "one",\n {"text": "two", "id": 3}]', ["one", "two"]),
        ("a.jsonl", '"one"\n\n{"output": "two"}\n{"id": 1, "reply": "three"}\n', ["one", "two", "three"]),
        ("a", '{"text": "one"}\n"two"', ["one", "two"]),
        ("a", '"Hello," she said.\nyes\u2028no', ['"Hello," she said.', "yes\u2028no"]),
    ],
)
def test_texts_are_read_as_lines_lists_and_json_lines(
    tmp_path: Path, name: str, content: str, found: list[str]
) -> None:
    (tmp_path / name).write_bytes(content.encode())
    assert texts.read(tmp_path / name) == found


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", b'{"text": "x"}\n{"text": 3}\n', r"a\.jsonl:2: neither a string nor an object"),
        ("a.jsonl", b'"x"\n\n{"text"\n', r"a\.jsonl:3: this is not JSON"),
        ("a.json", b'["x",\n\n {"words": "y"}]', r"a\.json:3: neither"),
        ("a.json", b'["x",\n"y"', r"a\.json:2: this is not JSON"),
        ("a.json", b"{}", r"a\.json:1: neither"),
        ("a.txt", b"x\ny\xff\n", r"a\.txt:2: this is not UTF-8"),
        ("a.txt", b"", r"a\.txt:1: no text in it"),
    ],
)
def test_what_is_no_text_is_named_with_its_line(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WarmthError, match=said):
        texts.read(tmp_path / name)


def test_the_command_gives_one_score_per_text_in_order(dropping: Path, tmp_path: Path) -> None:
    file = tmp_path / "texts.json"
    file.write_text(json.dumps(TEXTS[:4]))
    wanted = Ruler(str(dropping)).measure(TEXTS[:4])
    told = CliRunner().invoke(main, ["score", str(file), "--model", str(dropping), "--json"])
    assert json.loads(told.stdout) == pytest.approx([sides.warmth for sides in wanted], abs=1e-6)
    told = CliRunner().invoke(main, ["score", str(file), "--model", str(dropping), "--mode", "faithful"])
    assert [len(line.split("\t")) for line in told.stdout.splitlines()] == [2] * 4
    told = CliRunner().invoke(main, ["score", str(tmp_path / "nothing.txt")])
    assert told.exit_code == 1
    assert "nothing.txt: cannot be read" in told.stderr


def test_a_folder_without_a_model_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(WarmthError, match="cannot be read as a causal language model"):
        Ruler(str(tmp_path))
