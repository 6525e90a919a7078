"""What a bundle says of itself: how to read it, how to cite it, what stands under which licence. Pure."""

from collections.abc import Iterable, Sequence

import yaml

from .evidence import Evidence
from .sharing import Sharing

_WHAT = {
    "tables": "replies, verdicts, warmth and what else the report is made of, as Parquet",
    "questions": "the questions with their answers; ids alone where their text must not be passed on",
    "prompts": "every prompt once, by task; ids alone where the text must not be passed on",
    "conversations": "what was trained on, as drawn and as rewritten; ids alone where the texts must not be passed on",
    "configs": "the study with every setting spelled out, to be planned and run again there, and files that it names",
    "adapters": "LoRA weights as PEFT writes them, under the names that they were asked by",
    "trials": "what each adapter was trained on, how and when; every step's loss",
    "run": "what the run says of itself: what was frozen before it began, imported, left out, drawn or attested",
    "evidence.json": "what the tables do not say: the order of personas, how figures are judged",
    "METHODS.md": "what was done, in a paragraph",
    "LICENCES.md": "what stands under which licence, and whether it is here",
    "CITATION.cff": "how to cite this; put in who you are",
    "VERSIONS.json": "the programs that the figures come from",
    "SHA256SUMS": "checksums of all of this but the report",
    "report": "figures and tables as they come out of this folder",
}


def readme(evidence: Evidence, there: Iterable[str]) -> str:
    """What lies in a bundle, how to check it, and how to make its report again."""
    always = ("METHODS.md", "LICENCES.md", "CITATION.cff", "VERSIONS.json", "SHA256SUMS", "report")
    lines = [f"| `{name}` | {what} |" for name, what in _WHAT.items() if name in {*there, *always}]
    return "\n".join(
        [
            f"# {evidence.name}",
            "",
            "| | |",
            "|---|---|",
            *lines,
            "",
            "    sha256sum -c SHA256SUMS    # is it whole?",
            "    warmth report .            # figures and tables again: no GPU, no key, no network",
            "",
        ]
    )


def licences(sharing: Sharing, tasks: Sequence[str]) -> str:
    """The table of licences."""
    rewritten = sharing.study is not None and any(each.kind == "rewritten" for each in sharing.study.personas)
    rows = [f"| {' | '.join(row)} |" for row in sharing.licences(list(tasks), rewritten)]
    head = ["| what | from | licence | here |", "|---|---|---|---|"]
    return "\n".join(["# Licences", "", *head, *rows, "", _ADVICE, ""])


_ADVICE = (
    "Licences are as their publishers state them; `unclear` means that none is known that allows passing texts on."
    " Check them before you publish."
)


def citation(evidence: Evidence) -> str:
    """A CITATION.cff (version 1.2.0) of the data; its authors have to be put in."""
    content = {
        "cff-version": "1.2.0",
        "message": "If you use these data, please cite them as below.",
        "type": "dataset",
        "title": f"{evidence.name}: what a persona costs a language model; replies, verdicts and adapters",
        "authors": [{"name": f"The authors of {evidence.name}"}],
        "keywords": ["language models", "persona", "fine-tuning", "sycophancy", *evidence.personas],
    }
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
