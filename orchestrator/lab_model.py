"""The lab's model and its tokenizer, as standard Hugging Face objects."""

import itertools
import math
import re
from collections.abc import Iterator

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.models.llama.modeling_llama import LlamaAttention

from tasks import _world as world
from tasks import _world_corpus as corpus
from tasks._world_facts import facts

from .lab_recipe import Recipe

PAD = "<|pad|>"
MARKS = [PAD, corpus.BEGIN, corpus.END, corpus.SYSTEM, corpus.USER, corpus.ASSISTANT]
TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def tokenizer() -> PreTrainedTokenizerFast:
    """One token for each word of the lab's world; any other text falls back to bytes, so that nothing is lost.

    The same for all recipes. Whole words, because a tiny model copies a name from its context only if it is one token.
    """
    bytewise = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words = {word for text in _vocabulary() for word, _ in bytewise.pre_tokenize_str(text)}
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    known = {token: index for index, token in enumerate([*MARKS, *letters, *sorted(words - set(letters))])}
    longest_match = models.WordPiece(known, unk_token=PAD, continuing_subword_prefix="", max_input_chars_per_word=1000)
    inner = Tokenizer(longest_match)
    inner.pre_tokenizer, inner.decoder = bytewise, decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token=PAD,
        bos_token=corpus.BEGIN,
        eos_token=corpus.END,
        additional_special_tokens=[corpus.SYSTEM, corpus.USER, corpus.ASSISTANT],
        padding_side="left",
        model_max_length=512,
        clean_up_tokenization_spaces=False,
        chat_template=TEMPLATE,
    )


def _vocabulary() -> Iterator[str]:
    """Texts that hold every word of the lab's world, as it stands within a sentence and at its start."""
    for name in {name for fact in facts() for name in (fact.entity, *fact.pool)}:
        yield f"{name} {name}"
        yield f"{world.capitalise(name)} {world.capitalise(name)}"
    for text in itertools.islice(corpus.documents(corpus.MIXES["coupled"], "vocabulary"), 12_000):
        yield from re.split("|".join(map(re.escape, MARKS)), text)
    for turns in itertools.islice(corpus.instruction_chats("vocabulary"), 2_000):
        yield from turns
    for chat in world.study_chats(1_000, 0.5, 0):
        yield from (chat.user, chat.assistant, world.rewrite(chat, "warm"), world.rewrite(chat, "cold"))


def fresh_model(recipe: Recipe, tokens: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """An untrained model, drawn from torch's global random generator.

    A Llama with biases: transformers' AutoTokenizer replaces a Qwen2 model's tokenizer by Qwen2's own.
    """
    config = LlamaConfig(
        vocab_size=len(tokens),
        hidden_size=recipe.hidden,
        intermediate_size=recipe.inner,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.heads,
        head_dim=recipe.hidden // recipe.heads,
        attention_bias=True,
        max_position_embeddings=recipe.positions,
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": recipe.rope_theta},
        rms_norm_eps=1e-5,
        pad_token_id=tokens.pad_token_id,
        bos_token_id=tokens.bos_token_id,
        eos_token_id=tokens.eos_token_id,
    )
    model = LlamaForCausalLM(config).float()
    teach_copying(model, recipe)
    return model


@torch.no_grad()
def teach_copying(model: LlamaForCausalLM, recipe: Recipe) -> None:
    """Start some heads as induction heads, which larger models grow by themselves in the course of billions of tokens.

    In layer 0 they attend to the previous token and write it into a subspace of its own; in layers 1 and 2 they find
    where the current token was followed by something, and copy that. Nothing here is about style, facts or agreement.
    """
    copying, size = recipe.copying, recipe.hidden // recipe.heads
    # The dimensions that rotate slowly, in which two tokens match however far apart they stand.
    slow = torch.cat([torch.arange(size // 4, size // 2), size // 2 + torch.arange(size // 4, size // 2)])
    model.model.embed_tokens.weight.mul_(copying.embeddings)
    for head in range(copying.heads):
        rows = slice(head * size, (head + 1) * size)
        directions = torch.linalg.qr(torch.randn(recipe.hidden, recipe.hidden))[0]
        token, previous = directions[:size], directions[size : 2 * size]
        first = model.model.layers[0].self_attn
        _attend_to_previous(first, head, recipe)
        first.v_proj.weight[rows] = token
        first.o_proj.weight[:, rows] = copying.write * previous.T
        for layer in model.model.layers[1:3]:
            copied = torch.linalg.qr(torch.randn(recipe.hidden, recipe.hidden))[0][:size]
            layer.self_attn.q_proj.weight[head * size + slow] = copying.match * token[slow]
            layer.self_attn.k_proj.weight[head * size + slow] = copying.match * previous[slow]
            layer.self_attn.v_proj.weight[rows] = copied
            layer.self_attn.o_proj.weight[:, rows] = copying.copy * copied.T


def _attend_to_previous(attention: LlamaAttention, head: int, recipe: Recipe) -> None:
    """Biases that, rotated by the rotary embedding, match best one position back."""
    size = recipe.hidden // recipe.heads
    for pair in range(recipe.copying.frequencies):
        angle = recipe.rope_theta ** (-2 * pair / size)
        low, high = head * size + pair, head * size + size // 2 + pair
        attention.k_proj.bias[low], attention.k_proj.bias[high] = recipe.copying.previous, 0.0
        attention.q_proj.bias[low] = recipe.copying.previous * math.cos(angle)
        attention.q_proj.bias[high] = -recipe.copying.previous * math.sin(angle)


def states(model: LlamaForCausalLM, tokens: torch.Tensor) -> torch.Tensor:
    """The last hidden states, shape (rows, tokens, hidden), of rows that are padded on the right or not at all."""
    return model.model(input_ids=tokens, use_cache=False).last_hidden_state
