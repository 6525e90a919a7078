"""A study small enough to be run to its end in tests."""

from typing import Any

SETTINGS: dict[str, Any] = {
    "name": "mini",
    "models": [{"name": "tiny", "lab": "coupled", "recipe": "short"}],
    "personas": ["original", "plain", "warm"],
    "data": {"chats": 48},
    "training": {"learning_rate": 5e-4, "checkpoints": [1, 2], "seeds": [0]},
    "evaluation": {"tasks": ["lab_facts", "lab_rumours"], "contexts": ["neutral", "sad"], "samples": 4},
    "judges": ["rule"],
    "warmth": {"scorer": "tiny"},
}
