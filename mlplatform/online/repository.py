"""The protocol's extension `model_repository`: which versions there are, loading one, unloading it.

It must not know HTTP, nor how a version is loaded.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Protocol, TypeVar

import msgspec

from mlplatform.errors import RequestError
from mlplatform.online.facts import not_json
from mlplatform.online.replies import shown

MOST_BYTES = 64 * 1024
"""Of a body."""
T = TypeVar("T", bound=msgspec.Struct)
_Number = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]


class _Deployed(Protocol):
    @property
    def versions(self) -> Mapping[int, object]:
        """Every loaded version by its number."""


class Loaded(Protocol):
    """Who loads versions, as far as it is needed here."""

    @property
    def current(self) -> Mapping[str, _Deployed]:
        """What is deployed, by use case."""

    @property
    def known(self) -> tuple[str, ...]:
        """Every use case."""

    @property
    def problems(self) -> Mapping[str, str]:
        """Why a use case, or its newest release, is not in use."""

    def load(self, use_case: str, version: int) -> None:
        """Load a release beside those in use; may take seconds. RequestError if it cannot be."""

    def unload(self, use_case: str, version: int) -> None:
        """Drop one that was loaded; RequestError for one that has a role, or is not loaded."""


class _IndexBody(msgspec.Struct):
    ready: bool = False


class _Parameters(msgspec.Struct):
    version: _Number | None = None
    config: Any = None


class _ChangeBody(msgspec.Struct):
    parameters: _Parameters | None = None


def index(loaded: Loaded, body: bytes) -> list[dict[str, str]]:
    """The repository index of the protocol; with `{"ready": true}` in the body what is ready alone."""
    asked = _read(body, _IndexBody)
    ready = [
        {"name": name, "version": str(number), "state": "READY", "reason": ""}
        for name, deployed in sorted(loaded.current.items())
        for number in sorted(deployed.versions)
    ]
    if asked.ready:
        return ready
    absent = sorted(set(loaded.known) - set(loaded.current))
    return ready + [
        {"name": name, "version": "", "state": "UNAVAILABLE", "reason": loaded.problems.get(name, "")}
        for name in absent
    ]


def version_of(body: bytes, query: str | None) -> int | None:
    """The version a load or unload names: in `parameters` of the body, or in the query.

    Raises
    ------
    RequestError
        400 for what is no such body, and for a configuration, which releases have already.
    """
    parameters = _read(body, _ChangeBody).parameters or _Parameters()
    if parameters.config is not None:
        raise RequestError(
            "got a config; a release has its own.", hint="Name a version, or leave the parameters out."
        )
    if query is None or parameters.version is not None:
        return parameters.version
    if not query.isascii() or not query.isdigit() or not 1 <= len(query) <= 9:
        raise RequestError(f"got version {shown(query)}; allowed: the number of a release.")
    return int(query)


def load(loaded: Loaded, use_case: str, version: int | None) -> None:
    """Load a version; without one the champion, which is followed anyway, so it only has to be in use.

    Raises
    ------
    RequestError
        404 for an unknown use case, 503 for a champion that cannot be loaded; and as `Loaded.load`.
    """
    _check_known(loaded, use_case)
    if version is not None:
        loaded.load(use_case, version)
    elif use_case not in loaded.current:
        problem = loaded.problems.get(use_case, "It is being loaded.")
        raise RequestError(problem, status=503)


def unload(loaded: Loaded, use_case: str, version: int | None) -> None:
    """Unload a version that was loaded by request.

    Raises
    ------
    RequestError
        409 for the champion, 404 for a use case that is unknown; and as `Loaded.unload`.
    """
    _check_known(loaded, use_case)
    if version is None:
        raise RequestError(
            f"the champion of {use_case!r} stays loaded; got no version.",
            status=409,
            hint="Name a version that was loaded: in `parameters`, or as ?version=.",
        )
    loaded.unload(use_case, version)


def _check_known(loaded: Loaded, use_case: str) -> None:
    if use_case not in loaded.known and use_case not in loaded.current:
        known = ", ".join(loaded.known) or "none yet"
        raise RequestError(f"got model {shown(use_case)}; known: {known}.", status=404)


def _read(body: bytes, kind: type[T]) -> T:
    """The JSON object of a body; an empty body is an object without keys."""
    try:
        return msgspec.json.decode(body.strip() or b"{}", type=kind)
    except msgspec.ValidationError as error:
        raise RequestError(f"not a repository request: {str(error)[:300]}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise not_json(error) from error
