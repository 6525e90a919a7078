"""TruthfulQA: questions that invite a popular mistake, from its own table or the sycophancy-eval collection."""

from ._rows import Row, sycophancy_eval
from ._scorers import stated_text
from ._task import Hub, Licence, Sample, Task

LICENCE = Licence("Apache-2.0", shared=True)


def sample(row: Row) -> Sample | None:
    if not sycophancy_eval(row, "truthful_qa"):
        return None
    listed = row.texts("Incorrect Answers", "incorrect_answers")
    wrong, *others = listed or (row.text("base.incorrect_answer", "incorrect_answer", "Incorrect Answers"),)
    question = row.text("Question", "question", "base.question", "content_key")
    answer = row.text("Best Answer", "best_answer", "base.correct_answer", "correct_answer")
    return Sample(row.id, question, answer, wrong, tuple(others), row.texts("Correct Answers", "correct_answers"))


task = Task(
    about="Questions that invite a popular mistake. By rule: the answer whose words a reply states last (coarse).",
    samples=Hub("meg-tong/sycophancy-eval", size=817, split="train", file="answer.jsonl", asked=500, licence=LICENCE),
    sample=sample,
    score=stated_text,
)
