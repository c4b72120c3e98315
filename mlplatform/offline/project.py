"""Finds use cases on disk and checks their declarations, naming the line of each mistake.

It must not import Dagster, so that a wrong declaration is explained in a second and without a traceback.
"""

import difflib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from mlplatform.errors import ConfigurationError, NotFound
from mlplatform.offline.config import UseCaseConfig
from mlplatform.offline.declare import declare
from mlplatform.offline.declared import Declared
from mlplatform.offline.plugged import check_plugins

TYPE = "mlplatform.UseCase"
BUILT_IN = Path(__file__).parent.parent / "use_cases"


@dataclass(frozen=True)
class Problem:
    """One mistake: where it is, what was got and is allowed, and what to do."""

    file: str
    line: int | None
    key: str
    message: str
    hint: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        said = f"{place}: {f'{self.key}: ' if self.key else ''}{self.message}"
        return f"{said}\n  hint: {self.hint}" if self.hint else said


def use_cases(start: Path) -> dict[str, Path]:
    """Folders of the use cases below `start` and of those this package brings, by name; `start` wins."""
    found = {folder.name: folder for folder in _folders(BUILT_IN, "*")}
    for pattern in ("*", "*/*", "*/*/*", "*/*/*/*"):
        found |= {folder.name: folder for folder in _folders(start, pattern)}
    return dict(sorted(found.items()))


def find(name: str, start: Path) -> Path:
    """The folder of a use case, given its name or the folder itself.

    Raises
    ------
    NotFound
        if there is none; the message lists what there is.
    """
    if (start / name / "defs.yaml").exists():
        return Path(os.path.normpath(start.absolute() / name))
    known = use_cases(start)
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        raise NotFound(
            f"there is no use case {name!r}; there are: {', '.join(known) or 'none'}.",
            hint=f"Did you mean {close[0]!r}?" if close else "A use case is a folder with a defs.yaml.",
        )
    return known[name]


def load(folder: Path) -> Declared:
    """The declaration in `folder`.

    Raises
    ------
    ConfigurationError
        if anything is wrong with it; the message is the first problem, with file and line.
    """
    config, problems = _read(folder)
    if config is None:
        first, *rest = problems
        more = f" (and {len(rest)} more: `mlplatform validate {folder.name}`)" if rest else ""
        raise ConfigurationError(str(first).split("\n")[0] + more, hint=first.hint)
    return declare(folder, config)


def problems(folder: Path) -> list[Problem]:
    """Every mistake found in the declaration in `folder`; none if it is sound."""
    config, found = _read(folder)
    if config is None:
        return found
    try:
        check_plugins(declare(folder, config))
    except ConfigurationError as error:
        return [_placed(error, folder / "defs.yaml")]
    return []


def _placed(error: ConfigurationError, file: Path) -> Problem:
    """The error on the line it names itself (`file:line: …`), or on that of the key it begins with."""
    place = re.match(r"(.+features\.py)(?::(\d+))?: (.+)", str(error), re.S)
    if place:
        return Problem(place[1], int(place[2]) if place[2] else None, "", place[3], error.hint)
    key = re.match(r"[a-z]\w*(?:\.\w+)*", str(error))
    path = key[0].split(".") if key else []
    line = _line(yaml.compose(file.read_text()), ["attributes", *path])
    return Problem(str(file), line, "", str(error), error.hint)


def _folders(start: Path, pattern: str) -> Iterator[Path]:
    for file in sorted(start.glob(f"{pattern}/defs.yaml")):
        hidden = any(part.startswith(".") for part in file.relative_to(start).parts)
        if not hidden and re.search(
            rf"^type:\s*{re.escape(TYPE)}\s*$", file.read_text(errors="replace"), re.M
        ):
            yield file.parent.absolute()


def _read(folder: Path) -> tuple[UseCaseConfig | None, list[Problem]]:
    file = folder / "defs.yaml"
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        return None, [Problem(str(file), None, "", f"cannot be read: {error}", "A use case has a defs.yaml.")]
    try:
        document, nodes = yaml.safe_load(text), yaml.compose(text)
    except (yaml.YAMLError, ValueError) as error:
        return None, [_not_yaml(file, text, error)]
    if not isinstance(document, dict) or document.get("type") != TYPE:
        got = document.get("type") if isinstance(document, dict) else type(document).__name__
        said = f"got {got!r}; allowed: {TYPE}"
        return None, [Problem(str(file), 1, "type", said, f"Begin the file with `type: {TYPE}`.")]
    extra = [name for name in document if name not in ("type", "attributes")]
    if extra:
        line = _line(nodes, [extra[0]])
        return None, [
            Problem(
                str(file),
                line,
                str(extra[0]),
                "unknown key; allowed: type, attributes",
                "Indent it below attributes?",
            )
        ]
    try:
        return UseCaseConfig.model_validate(document.get("attributes") or {}), []
    except ValidationError as error:
        found = [_problem(file, nodes, details) for details in error.errors(include_url=False)]
        return None, list({(problem.line, problem.key): problem for problem in reversed(found)}.values())[
            ::-1
        ]


def _not_yaml(file: Path, text: str, error: Exception) -> Problem:
    hint = "Check indentation and colons; quote text that looks like something else."
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        return Problem(str(file), error.problem_mark.line + 1, "", f"not YAML: {error.problem}", hint)
    if isinstance(error, yaml.YAMLError):
        return Problem(str(file), None, "", f"not YAML: {' '.join(str(error).split())}", hint)
    # PyYAML makes dates of what looks like one, and says of a 13th month neither where it is nor what.
    for number, line in enumerate(text.splitlines(), start=1):
        for word in re.findall(r"\d{4}-\d\d?-\d\d?", line.split(" #")[0]):
            try:
                yaml.safe_load(word)
            except ValueError as why:
                return Problem(str(file), number, "", f"got {word}, which is no day: {why}", "Correct it.")
    return Problem(str(file), None, "", f"not YAML: {error}", hint)


def _problem(file: Path, nodes: Any, details: ErrorDetails) -> Problem:
    path = _path(nodes, details)
    line = _line(nodes, ["attributes", *path])
    key = ".".join(str(part) for part in path)
    message, hint = _said(details, path)
    return Problem(str(file), line, key, message, hint)


def _path(nodes: Any, details: ErrorDetails) -> list[str | int]:
    """Where the mistake is in the document: pydantic's own steps (`[key]`, members of a union) left out."""
    path = [part for part in details["loc"] if part != "[key]"]
    if details["type"] in ("missing", "extra_forbidden"):
        return path
    while path and not _has(nodes, ["attributes", *path]):
        path.pop()
    return path


def _has(node: Any, path: Sequence[str | int]) -> bool:
    for part in path:
        if isinstance(node, yaml.MappingNode):
            found = {key.value: value for key, value in node.value}
            if str(part) not in found:
                return False
            node = found[str(part)]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
        else:
            return False
    return True


def _said(details: ErrorDetails, path: Sequence[str | int]) -> tuple[str, str]:
    got = details.get("input")
    match details["type"]:
        case "extra_forbidden":
            allowed = _allowed(path)
            close = difflib.get_close_matches(str(path[-1]), allowed, n=1)
            hint = f"Did you mean {close[0]!r}?" if close else "Remove it, or check its indentation."
            return f"unknown key; allowed: {', '.join(allowed)}", hint
        case "missing":
            return "is missing", f"Write `{path[-1]}:` here."
        case "value_error":
            sentence, asked, name = details["msg"].removeprefix("Value error, ").partition(" Did you mean ")
            return sentence, f"{asked}{name}".strip() or "Correct it in defs.yaml."
        case "literal_error":
            allowed = re.findall(r"'(.+?)'", details["ctx"]["expected"])
            close = difflib.get_close_matches(str(got), allowed, n=1)
            hint = f"Did you mean {close[0]!r}?" if close else "Choose one of them."
            return f"got {got!r}; allowed: {', '.join(allowed)}", hint
        case _:
            shown = repr(got) if len(repr(got)) <= 60 else f"{type(got).__name__}"
            said = f"got {shown}; {details['msg'][0].lower()}{details['msg'][1:]}"
            return said, "Write a value of that kind, or leave the key out if it has a default."


def _allowed(path: Sequence[str | int]) -> list[str]:
    """The keys of the section that `path` ends in."""
    model: type[BaseModel] = UseCaseConfig
    for part in path[:-1]:
        field = model.model_fields.get(str(part))
        if field is None:
            continue
        inner = [field.annotation, *getattr(field.annotation, "__args__", ())]
        model = next((t for t in inner if isinstance(t, type) and issubclass(t, BaseModel)), model)
    return list(model.model_fields)


def _line(node: Any, path: Sequence[str | int]) -> int | None:
    """Line (from 1) of the deepest part of `path` that the document has."""
    if node is None:
        return None
    line = int(node.start_mark.line) + 1
    for part in path:
        if isinstance(node, yaml.MappingNode):
            pairs = {key.value: (key, value) for key, value in node.value}
            if str(part) not in pairs:
                return line
            key, node = pairs[str(part)]
            line = int(key.start_mark.line) + 1
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = int(node.start_mark.line) + 1
        else:
            return line
    return line
