"""What Ray itself makes of a cluster file: its defaults, then its schema. Needs no network and no account."""

import copy
from collections.abc import Iterator
from typing import Any

from .documents import Where, suggestion


def mistakes(content: dict[str, Any]) -> Iterator[tuple[Where, str]]:
    """Where Ray refuses a file, and why; `ray up` would stop there too."""
    import jsonschema
    from ray.autoscaler._private.util import prepare_config, validate_config  # private: as pinned, tried by a test

    try:
        validate_config(prepare_config(copy.deepcopy(content)))
    except jsonschema.ValidationError as error:
        yield refused(error, "Ray")
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError, NotImplementedError) as error:
        yield _about(error, content), f"Ray refuses this: {error}"


def refused(error: Any, who: str) -> tuple[Where, str]:
    """Where a schema's complaint (jsonschema's ValidationError) is to be put right, and what it says."""
    where: Where = tuple(error.absolute_path)
    if error.validator == "additionalProperties" and isinstance(error.schema.get("properties"), dict):
        known = error.schema["properties"]
        extra = next(name for name in error.instance if name not in known)
        return (*where, extra), f"{who} knows no such setting" + suggestion(str(extra), known)
    if error.validator == "required":
        missing = next(name for name in error.validator_value if name not in error.instance)
        return (*where, missing), f"this setting is missing, which {who} needs"
    return where, f"{who} refuses this: {error.message}"


def _about(error: Exception, content: dict[str, Any]) -> Where:
    """The setting that a message of Ray's names first; the file's own name where it names none."""
    named = (key for key in (*content, "head_node_type", "available_node_types") if key in str(error))
    return (next(named, "cluster_name"),)
