"""What weights are held in: trained and served as the study says, or a word about what is missing."""

import contextlib
import importlib.util
import json
from pathlib import Path

import pytest
import torch
from tiny import tiny_adapter, tiny_model

from orchestrator import train, weights
from orchestrator.engine import Request
from orchestrator.engine_transformers import TransformersEngine
from orchestrator.errors import WarmthError
from orchestrator.pack_member import Member, Moment
from orchestrator.settings_subjects import Precision
from orchestrator.settings_training import TrainingSettings
from orchestrator.tables import Chat, Turn

HALF = Precision("bfloat16")
CHATS = [Chat(str(i), (Turn("user", f"What is {i}?"), Turn("assistant", f"It is {i * i}."))) for i in range(4)]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("held") / "base", seed=0)


def test_a_trial_is_trained_on_weights_as_they_are_to_be_held(base: Path) -> None:
    seen: list[torch.dtype] = []

    def keep(_: float, __: Moment, ___: Member) -> None:
        seen.append(train.resident(str(base), HALF).model.dtype)

    settings = TrainingSettings(learning_rate=1e-2, epochs=1, batch=2)
    trained = train.train(str(base), CHATS, settings, 0, (1,), keep, HALF)
    assert seen == [torch.bfloat16]
    assert all(loss > 0 for loss in trained.losses)


async def test_a_model_and_its_adapter_are_served_as_they_are_to_be_held(base: Path) -> None:
    warm = tiny_adapter(base.parent / "adapters" / "warm", base, 1).name
    engine = TransformersEngine(str(base), str(base.parent / "adapters"), rows=2, precision=HALF)
    chat = [{"role": "user", "content": "hello"}]
    said = [(await engine.generate(Request(name, chat, max_tokens=8, temperature=0))).text for name in (None, warm)]
    engine.close()
    assert all(said)
    assert said[0] != said[1]


@pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is not None, reason="bitsandbytes is installed")
@pytest.mark.parametrize("quantization", ["nf4", "int8"])
def test_quantisation_without_its_library_is_said_so(base: Path, quantization: str) -> None:
    with pytest.raises(WarmthError, match=f"quantization {quantization} needs bitsandbytes.*pip install.* and a GPU"):
        weights.load(str(base), Precision("bfloat16", quantization), "cpu")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["llama", "homemade"])
def test_a_program_that_lies_beside_weights_is_never_run(tmp_path: Path, kind: str) -> None:
    folder = tiny_model(tmp_path / "base", seed=0)
    ran = tmp_path / "ran"
    (folder / "evil.py").write_text(
        "from transformers import *\n"
        f"open({str(ran)!r}, 'w')\n"
        "class Config(LlamaConfig): model_type = 'homemade'\n"
        "class Model(LlamaForCausalLM): config_class = Config\n"
        "class Tokenizer(PreTrainedTokenizerFast): pass\n"
    )
    for name, auto in (
        ("config.json", {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}),
        ("tokenizer_config.json", {"AutoTokenizer": [None, "evil.Tokenizer"]}),
    ):
        content = json.loads((folder / name).read_text())
        named = {"model_type": kind} if name == "config.json" else {}
        (folder / name).write_text(json.dumps({**content, **named, "auto_map": auto}))
    refused = pytest.raises(ValueError, match="trust_remote_code") if kind == "homemade" else contextlib.nullcontext()
    with refused:
        weights.load(str(folder), Precision(), "cpu")
    with refused:
        TransformersEngine(str(folder)).close()
    assert not ran.exists()
