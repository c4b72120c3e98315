"""`mlplatform warm`: fill the online feature store of a use case from the lake."""

import time
from contextlib import closing
from datetime import UTC, datetime

from rich.progress import Progress

from mlplatform.cli.app import Json, UseCaseName, app, use_case_folder
from mlplatform.cli.output import emit, err, out
from mlplatform.crosscutting.settings import Settings
from mlplatform.offline import project
from mlplatform.stores.lake import Lake
from mlplatform.stores.online import open_online_store, shared, without_password
from mlplatform.stores.warmup import Memory, fill, tables_of


@app.command()
def warm(use_case: UseCaseName, json: Json = False) -> None:
    """Fill the online feature store with the rows that features reach back to; what it has stays."""
    settings, declared = Settings.load(), project.load(use_case_folder(use_case))
    feature_set, began = declared.feature_set, time.perf_counter()
    tables = [*tables_of(feature_set), *feature_set.statics]
    with (
        closing(Lake.from_settings(settings)) as lake,
        closing(open_online_store(settings.online_store, feature_set, declared.name)) as store,
        Progress(console=err, transient=True, disable=json) as progress,
    ):
        bar = progress.add_task("tables", total=len(tables))
        memory = fill(store, lake, declared.name, done=lambda table: progress.advance(bar))
    seconds, url = round(time.perf_counter() - began, 2), without_password(settings.online_store)
    if json:
        emit(
            {
                "use_case": declared.name,
                "feature_set": feature_set.id,
                "store": url,
                "rows": dict(memory.rows),
                "newest": memory.newest,
                "whole_from": _time(memory),
                "seconds": seconds,
            }
        )
        return
    told = ", ".join(f"{count:,} {name}" for name, count in memory.rows.items())
    out.print(f"{url}: {told} in {seconds:.1f} s", markup=False)
    out.print(f"answers questions from {_time(memory) or 'the first row'} on", markup=False)
    if not shared(settings.online_store):
        out.print(
            "A store in memory belongs to each service, which fills its own when it starts and when the lake "
            "gets new rows; this was a trial. For one that services share, set MLPLATFORM_ONLINE_STORE.",
            markup=False,
        )


def _time(memory: Memory) -> str | None:
    whole = memory.whole_from_us
    return None if whole is None else datetime.fromtimestamp(whole / 1e6, UTC).isoformat()
