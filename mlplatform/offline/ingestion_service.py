"""The Ingestion Service: deliveries of a source into the Raw Data Store, each kept, judged and committed.

Bytes are kept before they are read, so that what is refused can be looked at. Deliveries are taken one at a
time and committed some at a time: memory holds what one commit does. It must not know Dagster; assets and the
command line call it.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path

import msgspec
import polars as pl

from mlplatform.crosscutting.clock import utc_now
from mlplatform.errors import DeliveryRefused
from mlplatform.offline.ingested import Expected, Ingested
from mlplatform.sources._contract import Delivery, Part
from mlplatform.stages.ingestion.batch import (
    Rules,
    check_declared,
    check_rejected,
    rows_by_day,
    take,
    text_of,
)
from mlplatform.stages.ingestion.formats import LINE
from mlplatform.stores.batches import QUARANTINE_SCHEMA, Batch, Kept, Manifest, batch_id
from mlplatform.stores.raw import RawStore

ROWS_A_COMMIT = 500_000
"""A commit is made when so many rows are waiting."""


@dataclass
class _Waiting:
    """A judged delivery before its rows are typed, or its refusal."""

    manifest: Manifest
    text: pl.DataFrame


class IngestionService:
    """Takes deliveries of one data set.

    Parameters
    ----------
    store : where they are kept.
    use_case, data_set : whose they are.
    rules : what they are held to.
    partitioned : whether rows carry `partition_key`.
    event_time : column (text, ISO 8601) of the rows' own times, for the manifests; empty: none.
    """

    def __init__(
        self,
        store: RawStore,
        use_case: str,
        data_set: str,
        rules: Rules,
        *,
        partitioned: bool,
        event_time: str = "",
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._store, self._use_case, self._data_set = store, use_case, data_set
        self._rules, self._partitioned, self._event_time, self._clock = rules, partitioned, event_time, clock
        self._read: tuple[tuple[Part, ...], list[tuple[Kept, pl.DataFrame | DeliveryRefused]]] = ((), [])
        self._divided: tuple[tuple[Part, ...], dict[str, pl.DataFrame]] = ((), {})

    def ingest(self, deliveries: Iterable[Delivery], expected: Expected = Expected()) -> Ingested:
        """Keep, judge and commit deliveries.

        Raises
        ------
        SourceError
            if the source fails; what came before is committed.
        StoreError
            if the store refuses.
        """
        done, waiting, rows = Ingested(), dict[str, _Waiting](), 0
        try:
            for delivery in deliveries:
                if not delivery.parts:
                    done.missing.append(delivery.partition)
                    continue
                judged = self._judged(delivery, expected)
                # One commit has a partition once: the later of two deliveries has to replace the other.
                if rows >= ROWS_A_COMMIT or delivery.partition in waiting:
                    self._commit([*waiting.values()], done)
                    waiting, rows = {}, 0
                waiting[delivery.partition] = judged
                rows += judged.text.height
        finally:
            self._commit([*waiting.values()], done)
        return done

    def _judged(self, delivery: Delivery, expected: Expected) -> _Waiting:
        if self._read[0] is not delivery.parts:  # days may share their files
            self._read = (delivery.parts, [self._kept(part) for part in delivery.parts])
        kept = self._read[1]
        total = sum(each.bytes for each, _ in kept)
        manifest = Manifest(
            batch_id="",
            data_set=self._data_set,
            partition=delivery.partition,
            source=delivery.parts[0].uri,
            objects=tuple(each.sha256 for each, _ in kept),
            sha256=_joined([each.sha256 for each, _ in kept]),
            bytes=total,
            rows=0,
            received_at=self._clock(),
            schema_version=self._rules.schema_version,
            message_id=expected.message_id,
        )
        try:
            text = self._text(delivery, [found for _, found in kept], manifest, expected)
        except DeliveryRefused as refused:
            return _Waiting(self._refused(manifest, refused), pl.DataFrame())
        sha = _content(text, self._rules) if delivery.day else manifest.sha256
        return _Waiting(
            _replaced(manifest, sha256=sha, batch_id=self._id(manifest, sha), rows=text.height), text
        )

    def _text(
        self,
        delivery: Delivery,
        files: list[pl.DataFrame | DeliveryRefused],
        manifest: Manifest,
        expected: Expected,
    ) -> pl.DataFrame:
        """The rows of one partition; refuses what is not as declared."""
        _check_expected(manifest, expected)
        for found in files:
            if isinstance(found, DeliveryRefused):
                raise found
        frames = [found for found in files if isinstance(found, pl.DataFrame)]
        if delivery.day:
            if self._divided[0] is not delivery.parts:
                self._divided = (delivery.parts, rows_by_day(pl.concat(frames), delivery.day))
            text = self._divided[1].get(delivery.partition, frames[0].clear())
        else:
            text = pl.concat(frames)
        check_declared(text, self._rules, rows=expected.rows)
        return text

    def _kept(self, part: Part) -> tuple[Kept, pl.DataFrame | DeliveryRefused]:
        """Keep a file, and read what was kept, whatever becomes of the file meanwhile."""
        content = part.content
        kept = self._store.keep(content if isinstance(content, Path) else [content])
        try:
            data = self._store.path(kept.sha256).read_bytes() if isinstance(content, Path) else content
            return kept, text_of(data, part.format, self._rules, gzipped=part.gzipped)
        except DeliveryRefused as refused:
            name = part.uri.rpartition("/")[2]
            return kept, DeliveryRefused(refused.reason, f"{name}: {refused}", hint=refused.hint)

    def _commit(self, waiting: list[_Waiting], done: Ingested) -> None:
        batches = [*self._typed([each for each in waiting if each.manifest.status == "accepted"])]
        batches += [_without_rows(each.manifest) for each in waiting if each.manifest.status == "refused"]
        if not batches:
            return
        committed = {manifest.partition: manifest for manifest in self._store.commit(self._use_case, batches)}
        for batch in batches:
            manifest = committed.get(batch.manifest.partition)
            if manifest is None:
                done.unchanged.append(batch.manifest.partition)
            elif manifest.status == "refused":
                done.refused.append(manifest)
            else:
                done.accepted.append(manifest)

    def _typed(self, waiting: list[_Waiting]) -> Iterator[Batch]:
        """Rows of all waiting partitions typed and checked together, then divided again."""
        if not waiting:
            return
        taken = take(pl.concat(self._marked(each) for each in waiting), self._rules)
        good = taken.good.partition_by("batch_id", as_dict=True, maintain_order=True)
        bad = taken.rejected.partition_by("batch_id", as_dict=True, maintain_order=True)
        for each in waiting:
            key = (each.manifest.batch_id,)
            rows, rejected = good.get(key, taken.good.clear()), bad.get(key, taken.rejected.clear())
            try:
                check_rejected(each.text.height, rejected, self._rules)
            except DeliveryRefused as refused:
                yield _without_rows(self._refused(each.manifest, refused), rejected)
                continue
            manifest = _replaced(
                each.manifest, rows=rows.height, rejected=rejected.height, **self._range(each.text)
            )
            yield Batch(manifest, rows, rejected)

    def _marked(self, each: _Waiting) -> pl.DataFrame:
        marks = [pl.lit(each.manifest.batch_id).alias("batch_id")]
        if self._partitioned:
            marks.append(pl.lit(each.manifest.partition).alias("partition_key"))
        return each.text.with_columns(marks)

    def _range(self, text: pl.DataFrame) -> dict[str, datetime | None]:
        if not self._event_time or not text.height:
            return {}
        times = text[self._event_time].str.to_datetime("%+", time_unit="us", strict=False)
        utc = times.dt.convert_time_zone("UTC")
        return {"event_from": utc.min(), "event_until": utc.max()}  # type: ignore[dict-item]

    def _refused(self, manifest: Manifest, refused: DeliveryRefused) -> Manifest:
        # Another id than the content's own: the same content may be served already, or accepted later.
        id = self._id(manifest, f"{manifest.sha256}:{refused.reason}")
        return _replaced(
            manifest, batch_id=id, status="refused", reason=f"{refused.reason}: {refused}", rows=0
        )

    def _id(self, manifest: Manifest, sha: str) -> str:
        return batch_id(self._data_set, manifest.partition, sha)


def _check_expected(manifest: Manifest, expected: Expected) -> None:
    if expected.sha256 is not None and expected.sha256 != manifest.sha256:
        raise DeliveryRefused(
            "sha256",
            f"the content has SHA-256 {manifest.sha256}, {expected.sha256} was declared.",
            hint="Ask for the delivery again.",
        )
    if expected.schema_version not in (None, manifest.schema_version):
        raise DeliveryRefused(
            "schema-version",
            f"schema version {expected.schema_version!r} was declared; the contract is "
            f"{manifest.schema_version!r}.",
            hint="The deliverer and the contract in features.py have to agree.",
        )


def _without_rows(manifest: Manifest, rejected: pl.DataFrame | None = None) -> Batch:
    columns = {name: QUARANTINE_SCHEMA[name] for name in ("reason", "line", "document")}
    return Batch(manifest, pl.DataFrame(), pl.DataFrame(schema=columns) if rejected is None else rejected)


def _content(text: pl.DataFrame, rules: Rules) -> str:
    """SHA-256 of one partition's rows of a file that holds many: its text as CSV."""
    return sha256(text.drop(LINE).write_csv().encode()).hexdigest()


def _joined(hashes: list[str]) -> str:
    return hashes[0] if len(hashes) == 1 else sha256("\n".join(hashes).encode()).hexdigest()


def _replaced(manifest: Manifest, **values: object) -> Manifest:
    changed: Manifest = msgspec.structs.replace(manifest, **values)
    return changed
