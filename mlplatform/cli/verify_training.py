"""`mlplatform verify training`: the champion trained again has to be the same, to the byte."""

import os
import time
from contextlib import closing
from typing import Annotated, Any

import msgspec
import typer

from mlplatform.cli.app import Json, use_case_folder
from mlplatform.cli.output import emit, out
from mlplatform.cli.verify import default, verify
from mlplatform.crosscutting.clock import utc_now
from mlplatform.crosscutting.settings import Settings
from mlplatform.errors import NotFound
from mlplatform.offline import project
from mlplatform.offline.declared import Declared
from mlplatform.offline.deploying import person
from mlplatform.stages.deployment.release import Release
from mlplatform.stores.candidates import CandidateStore
from mlplatform.stores.champions import ChampionStore
from mlplatform.stores.lake import Lake
from mlplatform.stores.proofs import REPRODUCED, Proof, ProofStore


@verify.command()
def training(
    use_case: Annotated[
        str, typer.Argument(help="Name or folder; flight_delay, or the only one, if left out.")
    ] = "",
    json: Json = False,
) -> None:
    """Train the champion again from the lake; compare every file of it with the stored one, by bytes.

    Nothing is released. What came of it is kept, as evidence of `mlplatform mltestscore`.
    """
    from mlplatform.offline.trained_again import train_again

    os.environ.setdefault("OMP_NUM_THREADS", "2")
    declared, settings = project.load(use_case_folder(use_case or default())), Settings.load()
    started, champion = time.perf_counter(), _champion(declared, settings)
    candidate = CandidateStore(settings.candidates).get(declared.name, champion.digest)
    with closing(Lake.from_settings(settings)) as lake:
        found = train_again(declared, settings, lake, candidate, champion.as_of)
    rows = f"{candidate.metadata.rows:,} rows"
    said = f"version {champion.version} ({champion.model}) trained again on {rows}: "
    result: dict[str, Any] = {
        "use_case": declared.name,
        "version": champion.version,
        "model": champion.model,
        "as_of": champion.as_of,
        **msgspec.to_builtins(found),
        "same": found.same,
        "said": said + (found.why or "the same to the byte"),
        "seconds": round(time.perf_counter() - started, 1),
    }
    _keep(declared, settings, result, passed=found.same)
    emit(result) if json else out.print(result["said"], markup=False)
    if not found.same:
        raise typer.Exit(1)


def _champion(declared: Declared, settings: Settings) -> Release:
    release = None
    if settings.state_file_exists():
        with closing(ChampionStore(settings.state_url)) as store:
            release = store.champion(declared.name)
    if release is None:
        raise NotFound(f"{declared.name!r} has no champion yet.", hint=f"mlplatform run {declared.name}")
    return release


def _keep(declared: Declared, settings: Settings, result: dict[str, Any], *, passed: bool) -> None:
    proof = Proof(
        use_case=declared.name, name=REPRODUCED, at=utc_now(), by=person(), passed=passed, figures=result
    )
    with closing(ProofStore(settings.state_url)) as store:
        store.add(proof)
