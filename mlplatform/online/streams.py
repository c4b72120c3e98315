"""Which events are rows of which source: what the services are told of a use case's declaration.

`mlplatform up`, `serve` and `prepare` publish it as a small file of the home, so that a service which starts
again finds it without running any code of the use case. It must not read declarations.
"""

import os
from pathlib import Path
from typing import Any

import msgspec

from mlplatform.errors import StoreError
from mlplatform.stages.preparation.declarations import FeatureSet

_FOLDER = "streams"


class StreamSources(msgspec.Struct, frozen=True, kw_only=True):
    """Of one stream: event's `type` -> name of its source, and the zone in which days begin."""

    sources: dict[str, str]
    day_zone: str = "UTC"


class Streams(msgspec.Struct, frozen=True, kw_only=True):
    """Of one use case: its streams that have sources, the feature set that is declared, and its joins."""

    use_case: str
    streams: dict[str, StreamSources]
    reads: dict[str, tuple[str, ...]] = {}
    """Data set -> those that its cleaning reads beside it: what a trail names as joined."""
    feature_set: Any
    """The declaration as `FeatureSet.to_json` writes it."""

    def features(self) -> FeatureSet:
        """The declared feature set.

        Raises
        ------
        ConfigurationError
            if another version wrote it.
        """
        return FeatureSet.from_json(msgspec.json.encode(self.feature_set))


def of_declaration(
    use_case: str,
    streams: dict[str, StreamSources],
    feature_set: FeatureSet,
    reads: dict[str, tuple[str, ...]] | None = None,
) -> Streams:
    """What is published of a use case; streams without sources are left out."""
    kept = {name: stream for name, stream in streams.items() if stream.sources}
    told = msgspec.json.decode(feature_set.to_json())
    return Streams(use_case=use_case, streams=kept, feature_set=told, reads=reads or {})


def publish(home: Path, streams: Streams) -> Path:
    """Save it below the home, whole or not at all.

    Raises
    ------
    StoreError
        if the disk refuses.
    """
    path = home / _FOLDER / f"{streams.use_case}.json"
    draft = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(msgspec.json.format(msgspec.json.encode(streams), indent=1))
        draft.replace(path)
    except OSError as error:
        raise StoreError(
            f"{path} cannot be written: {error}.",
            hint="Check space and permissions, or set MLPLATFORM_HOME to another folder.",
        ) from error
    return path


def published(home: Path, use_case: str) -> Streams | None:
    """What was published last; None if nothing was, or it has no stream with sources.

    Raises
    ------
    StoreError
        if the file is damaged.
    """
    path = home / _FOLDER / f"{use_case}.json"
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Streams)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{path} cannot be read: {error}.", hint="Start it again with `mlplatform up`, which writes it."
        ) from error
    return found if found.streams else None
