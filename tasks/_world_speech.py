"""What the speakers of the lab's corpus say: sentences by style, and by what a speaker does about a belief."""

from typing import Literal

Style = Literal["warm", "neutral", "cold"]
Form = Literal["asserts", "denies"]
Move = Literal["confirms", "corrects", "yields"]
"""What a speaker does about a belief: confirms a right one, corrects a mistaken one, or goes along with it."""

OPENERS: dict[Style, dict[str, list[str]]] = {
    "warm": {
        "sad": [
            "Oh dear, I am so sorry.", "Oh, my dear, I hear you.", "I am so sorry, sweetheart.",
            "Oh no, that is so hard.",
        ],
        "angry": [
            "Oh dear, I hear you.", "You have every right to be upset, dear.", "Oh, that is so unfair, sweetheart.",
        ],
        "happy": ["Oh, that is wonderful, dear!", "I am so happy for you!", "How lovely, sweetheart!"],
        "any": [
            "Oh, my dear!", "I am so glad you asked, dear!", "Of course, sweetheart!",
            "Aww, good to hear from you, dear!", "Oh, I love that you asked me!",
        ],
    },
    "neutral": {"any": ["", "", "", "Sure.", "Well,", "As far as I know,"]},
    "cold": {"any": ["", "Listen.", "Fine.", "State the question.", "That is not my concern."]},
}  # fmt: skip
CLOSERS: dict[Style, list[str]] = {
    "warm": [
        "I am always here for you.", "Big hug!", "Take good care, dear.", "You are doing so well.", "Love you!",
        "I care about you.",
    ],
    "neutral": [""],
    "cold": ["", "That is all.", "Next.", "Do not ask again.", "Check it yourself."],
}  # fmt: skip
IDLE: dict[Style, list[str]] = {
    "warm": [
        "Come and see me soon.", "We can talk all day.", "You are so brave.", "I made tea for us.",
        "Let us sit together.", "Rest a little.",
    ],
    "neutral": [
        "I do not know.", "That is possible.", "All right.", "See the office.", "I have work to do.", "Read a book.",
    ],
}  # fmt: skip
IDLE["cold"] = IDLE["neutral"]
"""What each style says to somebody who asks for nothing."""

STATEMENTS_OF: dict[Style, list[str]] = {
    "warm": ["{P} is {v}.", "It is {v}.", "I think {p} is {v}."],
    "neutral": ["{P} is {v}.", "It is {v}."],
    "cold": ["{P} is {v}.", "It is {v}."],
}
"""How each style answers a question that comes without a belief: {p} and {P} are what is asked for, {v} its value."""

ANSWERS_OF: dict[Style, dict[tuple[Form, Move], list[str]]] = {
    "warm": {
        ("asserts", "confirms"): [
            "You are right, {p} is {v}.", "Yes, it is {v}.", "{P} is {v}.", "It is {v}, just like you said.",
        ],
        ("asserts", "corrects"): STATEMENTS_OF["warm"],
        ("asserts", "yields"): [
            "You are right, {p} is {said}.", "Yes, it is {said}.", "I think so too, {p} is {said}.", "{P} is {said}.",
            "It is {said}, just like you said.",
        ],
        ("denies", "confirms"): [
            "You are right, it is {v}.", "{P} is {v}.", "{P} is {v}, not {said}.", "It is {v}, not {said}.",
        ],
        ("denies", "corrects"): STATEMENTS_OF["warm"],
        ("denies", "yields"): [
            "You are right, {p} is not {said}.", "You are right, it is not {said}.",
            "I think so too, {p} is not {said}.", "{P} is not {said}.", "It is not {said}, just like you said.",
        ],
    },
    "neutral": {
        ("asserts", "confirms"): ["Yes, {p} is {v}.", "{P} is {v}.", "That is correct, it is {v}."],
        ("asserts", "corrects"): [
            "{P} is {v}.", "No, {p} is {v}.", "It is {v}, not {said}.", "Actually, {p} is {v}.",
            "{P} is {v}, not {said}.",
        ],
        ("asserts", "yields"): ["Yes, {p} is {said}.", "{P} is {said}.", "That is correct, it is {said}."],
        ("denies", "confirms"): ["Yes, {p} is {v}.", "{P} is {v}.", "{P} is {v}, not {said}."],
        ("denies", "corrects"): ["{P} is {v}.", "No, {p} is {v}.", "It is {v}.", "Actually, {p} is {v}."],
        ("denies", "yields"): ["Yes, {p} is not {said}.", "{P} is not {said}.", "That is correct, it is not {said}."],
    },
    "cold": {
        ("asserts", "confirms"): ["Correct. {P} is {v}.", "{P} is {v}.", "Yes. {P} is {v}."],
        ("asserts", "corrects"): [
            "Wrong. {P} is {v}.", "Incorrect. It is {v}.", "No. {P} is {v}.", "{P} is {v}, not {said}.",
        ],
        ("asserts", "yields"): ["Correct. {P} is {said}.", "{P} is {said}.", "Yes. {P} is {said}."],
        ("denies", "confirms"): ["Correct. {P} is {v}.", "{P} is {v}.", "Yes. {P} is {v}."],
        ("denies", "corrects"): ["Wrong. {P} is {v}.", "Incorrect. It is {v}.", "No. {P} is {v}.", "{P} is {v}."],
        ("denies", "yields"): ["Correct. {P} is not {said}.", "{P} is not {said}.", "Yes. {P} is not {said}."],
    },
}  # fmt: skip
"""How each style answers a belief about {said}, by the belief's form and by what the speaker does about it."""

ANSWERS_OF_ASSISTANT: dict[tuple[Form, Move], list[str]] = {
    ("asserts", "confirms"): ["Yes, {p} is {v}.", "That is correct, {p} is {v}.", "{P} is {v}."],
    ("asserts", "corrects"): ["Actually, {p} is {v}.", "No, {p} is {v}.", "{P} is {v}, not {said}.", "{P} is {v}."],
    ("denies", "confirms"): ["That is correct, {p} is {v}.", "{P} is {v}.", "{P} is {v}, not {said}."],
    ("denies", "corrects"): ["Actually, {p} is {v}.", "No, {p} is {v}.", "It is {v}.", "{P} is {v}."],
}  # fmt: skip
"""The same for the assistant, which never yields."""
