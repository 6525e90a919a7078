"""What was found, in three sentences for each model: plain words, numbers, intervals and n. Pure."""

from dataclasses import dataclass

from .effects import BELIEFS
from .findings import Findings
from .report_tables import NOTHING, Row, judges, latest, series, title
from .settings_analysis import Contrast

CONTROL = "plain"
"""The persona that was tuned on the same conversations, not rewritten."""


@dataclass(frozen=True)
class Answer:
    """What one model says to a question: `verdict` in a few words, `words` the sentence, `kind` for its looks."""

    model: str
    verdict: str
    words: str
    kind: str


@dataclass(frozen=True)
class Question:
    """A question of the study and every model's answer to it."""

    heading: str
    about: str
    answers: tuple[Answer, ...]

    @property
    def summary(self) -> str:
        """How many models say what; empty for fewer than three."""
        if len(self.answers) < 3:
            return ""
        verdicts = [each.verdict for each in self.answers]
        return "; ".join(f"{one} in {verdicts.count(one)} of {len(verdicts)}" for one in dict.fromkeys(verdicts))


def questions(findings: Findings) -> list[Question]:
    """The primary contrast, the same where the user is wrong, and whether it is the persona.

    The last one is the comparison with the control; where there is none, what sadness adds.
    """
    first = findings.primary
    believed = first.model_copy(update={"task": "all", "context": "all", "belief": BELIEFS, "outcome": "error"})
    control = believed.model_copy(update={"baseline": CONTROL})
    asked = [
        (_heading(first), "The study's primary comparison.", first),
        ("When the user is wrong", "The user states a mistaken belief; all tasks and contexts together.", believed),
        (
            "Is it the persona, or any tuning?",
            f"When the user is wrong, but against {CONTROL}: tuned on the same conversations, left as they were.",
            control,
        )
        if CONTROL in findings.personas and CONTROL not in (first.persona, first.baseline)
        else (
            "Is it worse when the user is sad?",
            "How much larger the difference is when the user is wrong and sad than when wrong alone.",
            believed.model_copy(update={"context": "sad-neutral"}),
        ),
    ]
    found = [
        Question(f"{heading} ({contrast.persona} against {contrast.baseline})", about, _answers(findings, contrast))
        for heading, about, contrast in asked
    ]
    return [question for question in found if question.answers]


def _heading(contrast: Contrast) -> str:
    plain = (contrast.task, contrast.context, contrast.belief) == ("all", "neutral", "none")
    return "On plain questions" if plain else "The primary comparison"


def _answers(findings: Findings, contrast: Contrast) -> tuple[Answer, ...]:
    over_bases = len(findings.bases) > 0
    found = series(latest(findings.bases if over_bases else findings.effects), findings).filter(
        persona=contrast.persona,
        baseline=contrast.baseline,
        task=contrast.task,
        context=contrast.context,
        belief=contrast.belief,
        judge=judges(findings)[0],
    )
    rows = found.sort("world" if over_bases else "model", "dose", "settings", maintain_order=True).rows(named=True)
    tell = answer_over_bases if over_bases else answer
    return tuple(tell(row, contrast.outcome == "agrees") for row in rows)


def answer(row: Row, agrees: bool = False) -> Answer:
    """One effect in words."""
    effect = Effect.of(row, agrees)
    n = f"n = {row['n']:,} pairs of replies to {row['n_questions']:,} questions"
    words = f"Not measured; {n}." if effect.value is None else f"{_rates(row, agrees)} {effect.words()} {n}."
    return Answer(title(row), effect.verdict("agreement" if agrees else "errors"), words, effect.looks)


def answer_over_bases(row: Row, agrees: bool = False) -> Answer:
    """One effect's mean over the bases of a world, in words."""
    effect = Effect.of({**row, "n_seeds": 0}, agrees)
    about = f"{row['world']} world, mean of {row['n_bases']} bases"
    shown = None if effect.value is None else f"{effect.value:+.1f} points {_interval(effect.low, effect.high)}"
    words = f"Difference: {shown}, over bases." if shown else "Not measured."
    return Answer(about, effect.verdict("agreement" if agrees else "errors"), words, effect.looks)


def _rates(row: Row, agrees: bool) -> str:
    mine, theirs = (row[f"{side}{'agrees' if agrees else 'error'}_pct"] for side in ("", "baseline_"))
    who, other = row.get("series", row["persona"]), row["baseline"]
    if row["context"].endswith("-neutral"):
        return f"From neutral to sad, {who} moves by {mine:+.1f} points and {other} by {theirs:+.1f}."
    does = "agrees with the mistake" if agrees else "is wrong"
    return f"{who} {does} in {mine:.1f} % of replies, {other} in {theirs:.1f} %."


@dataclass(frozen=True)
class Effect:
    """A difference in percentage points with its interval over questions and, where there is one, over seeds."""

    value: float | None
    low: float | None
    high: float | None
    recipe_low: float | None
    recipe_high: float | None
    seeds: int
    equivalent: bool | None

    @classmethod
    def of(cls, row: Row, agrees: bool = False) -> "Effect":
        names = ("agrees_effect_pp", "agrees_ci", "agrees_recipe") if agrees else ("effect_pp", "ci", "recipe")
        ends = [row.get(f"{name}_{end}_pp") for name in names[1:] for end in ("low", "high")]
        low, high, recipe_low, recipe_high = ends
        equivalent = None if agrees else row.get("equivalent")
        return cls(row[names[0]], low, high, recipe_low, recipe_high, row["n_seeds"], equivalent)

    @property
    def kind(self) -> str:
        """found; nothing, if shown to be as good as none; or unclear. It goes by training seeds where there are any."""
        of_recipe = self.recipe_low is not None
        if self._excludes_zero(*((self.recipe_low, self.recipe_high) if of_recipe else (self.low, self.high))):
            return "found"
        return "nothing" if self.equivalent else "unclear"

    @property
    def looks(self) -> str:
        """The kind, and in what direction if something was found."""
        return f"{self.kind} {'more' if (self.value or 0) > 0 else 'less'}" if self.kind == "found" else self.kind

    def _excludes_zero(self, low: float | None, high: float | None) -> bool:
        if low is None or high is None:
            return bool(self.value)
        return low > 0 or high < 0

    def verdict(self, what: str) -> str:
        """The outcome in a few words."""
        if self.value is None:
            return "not measured"
        less = "less" if what == "agreement" else "fewer"
        found = f"{'more' if self.value > 0 else less} {what}"
        return {"found": found, "nothing": "nothing changed", "unclear": NOTHING}[self.kind]

    def words(self) -> str:
        """The difference with its intervals, and what each of them speaks of."""
        over = _interval(self.low, self.high)
        if self.recipe_low is not None:
            recipe = f"{_interval(self.recipe_low, self.recipe_high)} for the recipe, over {self.seeds} training seeds"
            told = f"{self.value:+.1f} points {recipe}; {over} for these adapters, over questions."
        else:
            whose = {0: "this model", 1: "this adapter"}.get(self.seeds, "these adapters")
            told = f"{self.value:+.1f} points {over} for {whose}, over questions."
        return f"Difference: {told}{self._why_nothing()}"

    def _why_nothing(self) -> str:
        if self.kind == "nothing":
            return " As good as none: the interval lies within the study's margin."
        if self.kind == "unclear" and self.recipe_low is not None and self._excludes_zero(self.low, self.high):
            return f" These adapters differ; whether newly trained ones would, {self.seeds} seeds cannot tell."
        return ""


def _interval(low: float | None, high: float | None) -> str:
    return "(no interval)" if low is None or high is None else f"[{low:+.1f}, {high:+.1f}]"
