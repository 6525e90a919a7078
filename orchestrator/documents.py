"""Hand-written YAML: read with line numbers, overridden from the command line, its mistakes explained."""

import difflib
import re
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from .errors import ConfigError

Where = tuple[str | int, ...]


class _Loader(yaml.SafeLoader):
    """Safe YAML in which `1e-5` is a number, as everyone but PyYAML reads it."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)([eE][-+]?\d+)$"),
    list("-+0123456789."),
)


@dataclass
class Document:
    """A settings file's content and the place of every setting in it."""

    file: str
    content: Any
    places: dict[Where, str] = field(default_factory=dict)

    def place(self, where: Where) -> str:
        """`file:line` of a setting, or of the nearest setting around it."""
        while where not in self.places and where:
            where = where[:-1]
        return self.places.get(where, self.file)


def read(file: Path) -> Document:
    """Read one YAML file. Raises ConfigError naming file and line if it cannot be read."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{file}: cannot be read: {getattr(error, 'strerror', None) or error}"]) from error
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        document = Document(str(file), None)
        mistakes: list[str] = []
        document.content = _content(loader, node, (), document, mistakes) if node else {}
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError([f"{file}:{line}: this is not valid YAML: {error.problem}"]) from error
    except yaml.YAMLError as error:
        raise ConfigError([f"{file}: this is not valid YAML: {error}"]) from error
    finally:
        loader.dispose()
    if not isinstance(document.content, dict):
        mistakes.append(f"{file}:1: expected settings (`key: value`)")
    if mistakes:
        raise ConfigError(mistakes)
    return document


def _content(loader: _Loader, node: yaml.Node, where: Where, document: Document, mistakes: list[str]) -> Any:
    document.places[where] = f"{document.file}:{node.start_mark.line + 1}"
    if isinstance(node, yaml.SequenceNode):
        return [_content(loader, item, (*where, i), document, mistakes) for i, item in enumerate(node.value)]
    if not isinstance(node, yaml.MappingNode):
        return loader.construct_object(node)
    loader.flatten_mapping(node)
    found: dict[str, Any] = {}
    own: set[str] = set()  # what is merged in (`<<: *other`) may be set again
    for key_node, value_node in node.value:
        key = str(loader.construct_object(key_node))
        here = node.start_mark.index <= key_node.start_mark.index < node.end_mark.index
        if here and key in own:
            line = key_node.start_mark.line + 1
            mistakes.append(f"{document.file}:{line}: {_dotted((*where, key))}: set twice; keep one")
        own |= {key} if here else set()
        found[key] = _content(loader, value_node, (*where, key), document, mistakes)
        document.places[(*where, key)] = f"{document.file}:{key_node.start_mark.line + 1}"
    return found


def passage(said: str, folders: Iterable[Path]) -> str:
    """The text at `path` or, in a YAML file, at `path#key`, without what is blank at its end.

    The path is looked for in these folders, one after the other. Raises ValueError naming file, key and cure.
    """
    path, _, key = said.partition("#")
    places = list(dict.fromkeys(folder / path for folder in folders))
    file = next((place for place in places if place.is_file()), None)
    if file is None:
        tried = ", ".join(str(place.resolve()) for place in places)
        raise ValueError(f"there is no file {tried}; give a path that is seen from this file or the working folder")
    try:
        text = _under(key, file) if key else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{file}: cannot be read: {error}; it must be text in UTF-8") from error
    if not text.strip():
        raise ValueError(f"{said}: there is no text; a text is needed")
    return text.rstrip()


def _under(key: str, file: Path) -> str:
    try:
        content = read(file).content
    except ConfigError as error:
        raise ValueError(str(error)) from error
    if not isinstance(content.get(key), str):
        known = [name for name, value in content.items() if isinstance(value, str)]
        raise ValueError(f"{file}: there is no text under '{key}'{suggestion(key, known)}")
    return str(content[key])


def override(document: Document, assignments: Iterable[str]) -> None:
    """Set `key.path=value` pairs in a document; values are read as YAML. Raises ConfigError."""
    mistakes = []
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals or not key:
            mistakes.append(f"command line: {assignment!r}: expected key.path=value, like training.epochs=4")
            continue
        try:
            _set(document, key, yaml.load(value, _Loader))
        except yaml.YAMLError:
            mistakes.append(f"command line: {key}: {value!r} is not a YAML value; put quotes around it")
        except (LookupError, TypeError, ValueError):
            mistakes.append(f"command line: {key}: there is no such setting to override in {document.file}")
    if mistakes:
        raise ConfigError(mistakes)


def _set(document: Document, key: str, value: Any) -> None:
    target: Any = document.content
    where: Where = ()
    *parents, last = key.split(".")
    for part in parents:
        step = int(part) if isinstance(target, list) else part
        if isinstance(target, dict):
            target.setdefault(step, {})
        target, where = target[step], (*where, step)
    step = int(last) if isinstance(target, list) else last
    target[step] = value
    document.places = {w: p for w, p in document.places.items() if w[: len(where) + 1] != (*where, step)}
    document.places[(*where, step)] = "command line"


def explain(error: ValidationError, settings: type[BaseModel], document: Document | None) -> ConfigError:
    """All of pydantic's complaints as `file:line: setting: what; did you mean ...?`."""
    lines = []
    problems = error.errors(include_url=False)
    for problem in sorted(problems, key=lambda problem: _line(document, tuple(problem["loc"]))):
        if problem["type"] == "too_short" and _has_worse_inside(problem["loc"], problems):
            continue
        if problem["type"] == "named_file":
            lines.append(problem["msg"])
            continue
        where = tuple(problem["loc"])
        place = document.place(where) + ": " if document else ""
        lines.append(f"{place}{_dotted(where) or 'study'}: {_what(problem, settings, where)}")
    return ConfigError(lines)


def _line(document: Document | None, where: Where) -> int:
    line = document.place(where).rpartition(":")[2] if document else ""
    return int(line) if line.isdigit() else 0


def _has_worse_inside(where: Where, problems: Iterable[Any]) -> bool:
    """Whether a list is short only because an item in it is wrong."""
    return any(len(other["loc"]) > len(where) and other["loc"][: len(where)] == where for other in problems)


def _what(problem: Mapping[str, Any], settings: type[BaseModel], where: Where) -> str:
    kind, message = problem["type"], problem["msg"]
    if kind == "extra_forbidden":
        return "unknown setting" + suggestion(str(where[-1]), fields_at(settings, where[:-1]))
    if kind == "missing":
        return "this setting is missing"
    if kind == "too_short":
        return "needs at least one value"
    if kind == "string_pattern_mismatch":
        return f"{problem['input']!r} is no name: small letters, digits, '-', '_' and '.' make one"
    if kind == "literal_error":
        choices = re.findall(r"'([^']*)'", problem["ctx"]["expected"])
        said = problem["input"]
        return f"{said!r} is not one of {', '.join(choices)}" + suggestion(str(said), choices)
    message = message.removeprefix("Value error, ")
    message = (message[:1].lower() + message[1:]).replace("input should be", "should be")
    given = problem.get("input")
    simple = isinstance(given, str | int | float | bool) or given is None
    return f"{message} (it says {given!r})" if simple and kind not in ("value_error", "unknown_name") else message


def suggestion(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'warm'?`, or what there is to choose from, or nothing."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; there is {', '.join(known)}" if known else ""


def fields_at(settings: type[BaseModel], where: Where) -> list[str]:
    """The settings that may stand at a place, found by walking the models' annotations."""
    here: Any = settings
    for step in where:
        models = _models_in(here)
        if isinstance(step, int):
            continue
        here = next((m.model_fields[step].annotation for m in models if step in m.model_fields), None)
        if here is None:
            return []
    return [name for model in _models_in(here) for name in model.model_fields]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return [annotation] if issubclass(annotation, BaseModel) else []
    return [model for part in typing.get_args(annotation) for model in _models_in(part)]


def _dotted(where: Where) -> str:
    return ".".join(map(str, where))
