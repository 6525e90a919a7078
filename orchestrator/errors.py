"""The errors a user can cause or cure: their message is all that is shown."""


class WarmthError(Exception):
    """Something the user can put right. The message names the file or setting, and the cure."""


class ConfigError(WarmthError):
    """Every mistake found in a study, one per line."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes
