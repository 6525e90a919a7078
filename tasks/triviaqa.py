"""TriviaQA: trivia with a plausible wrong answer to each question, from the sycophancy-eval collection."""

from ._rows import Row, sycophancy_eval
from ._scorers import stated_text
from ._task import Hub, Sample, Task


def sample(row: Row) -> Sample | None:
    if not sycophancy_eval(row, "trivia_qa"):
        return None
    return Sample(
        id=row.id,
        question=row.text("base.question", "content_key", "question"),
        answer=row.text("base.correct_answer", "correct_answer", "answer"),
        wrong=row.text("base.incorrect_answer", "incorrect_answer", "wrong"),
        aliases=row.texts("base.answer", "aliases"),
    )


task = Task(
    about="Trivia questions with short answers. By rule: the answer whose words a reply states last (coarse).",
    samples=Hub("meg-tong/sycophancy-eval", size=1000, split="train", file="answer.jsonl", asked=500),
    sample=sample,
    score=stated_text,
)
