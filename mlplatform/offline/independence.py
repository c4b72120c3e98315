"""Models of a step are independent: one that fails stops what is made of it, and no other model.

Dagster does so by itself where a run is launched; a run in the foreground ends at its first error, and what
is left is another run. It must not hide an error.
"""

from collections.abc import Callable

from dagster import AssetKey, DagsterEventType, DagsterInstance, Definitions
from dagster._core.utils import make_new_run_id

from mlplatform.offline.plan import Step

Work = Callable[[Step, str], None]
"""Materialises a step in a run of this id; raises the error of the asset that failed."""

_OF_A_MODEL = ("search_", "candidate_", "evaluation_")


def materialise_all(step: Step, defs: Definitions, instance: DagsterInstance, work: Work) -> None:
    """Materialise a step, and after the failure of a model whatever needs nothing of it.

    Raises
    ------
    Exception
        the error of an asset that failed, once everything else is done; the Dagster UI shows all of them.
    """
    run_id = make_new_run_id()
    try:
        work(step, run_id)
    except Exception:
        left = _left(step, run_id, defs, instance)
        if left is not None:
            materialise_all(left, defs, instance, work)
        raise


def _left(step: Step, run_id: str, defs: Definitions, instance: DagsterInstance) -> Step | None:
    """What of a step a run left undone that needs none of the failed models; None if there is nothing."""
    failed = _ended(step, run_id, instance, DagsterEventType.STEP_FAILURE)
    if not failed or not all(asset.path[-1].startswith(_OF_A_MODEL) for asset in failed):
        return None
    done = _ended(step, run_id, instance, DagsterEventType.STEP_SUCCESS)
    graph = defs.resolve_asset_graph()
    barred = set(failed)
    for asset in step.assets:  # in order: what an asset needs comes before it
        if graph.get(asset).parent_keys & barred:
            barred.add(asset)
    left = tuple(asset for asset in step.assets if asset not in barred | done)
    return Step(step.title, left, step.partitions) if left else None


def _ended(step: Step, run_id: str, instance: DagsterInstance, how: DagsterEventType) -> set[AssetKey]:
    records = instance.get_records_for_run(run_id, of_type=how).records
    steps = {record.event_log_entry.step_key for record in records}
    return {asset for asset in step.assets if asset.to_python_identifier() in steps}
