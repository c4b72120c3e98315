"""What is said of batch scores on the bus, in the same words by the service and by Dagster's notifier.

It must not publish.
"""

from mlplatform.crosscutting.bus.contract import Envelope, envelope, event_id
from mlplatform.crosscutting.bus.topics import SCORING_COMPLETED, ScoringCompleted
from mlplatform.crosscutting.tracing import of_run


def scored(
    use_case: str, partition: str, run_id: str, *, model: str, version: int, rows: int
) -> Envelope[ScoringCompleted]:
    """Message that a day's scores are saved; its id says which run, or request, saved it."""
    data = ScoringCompleted(
        use_case=use_case,
        partition=partition,
        model=model,
        version=str(version),
        rows=rows,
        run_id=run_id,
    )
    id = event_id(SCORING_COMPLETED.name, use_case, partition, run_id)
    return envelope(
        SCORING_COMPLETED,
        data,
        id=id,
        source=f"mlplatform/{use_case}",
        subject=partition,
        traceparent=of_run(run_id),
    )
