"""Which failures of an asset are tried again, and when: those of stores, disks, brokers and sources away.

A wrong parameter or rows that nothing can be learned from stay wrong however often they are tried. Trying
again is safe, as every asset replaces its partitions. It must not hide an error: the last attempt raises it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from inspect import isgeneratorfunction
from typing import Any

from dagster import (
    AssetExecutionContext,
    DagsterInvariantViolationError,
    InputContext,
    OutputContext,
    RetryRequested,
)

from mlplatform.crosscutting.bus.contract import BrokerAway
from mlplatform.errors import NotFound, RowsRefused, SchemaMismatch, SourceAway, StoreError
from mlplatform.offline.config import Retries

TAG = "mlplatform/retries"
"""Of the op of an asset: what is tried again of it, for the IO manager, which knows no use case."""
PASSING = (StoreError, OSError, BrokerAway, SourceAway)


def passes(error: BaseException) -> bool:
    """Whether the same work may succeed a little later."""
    return isinstance(error, PASSING) and not isinstance(error, NotFound | RowsRefused | SchemaMismatch)


def retried(retries: Retries) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Ask Dagster for another attempt at an asset's function, waiting twice as long each time."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def attempt(context: AssetExecutionContext, **more: Any) -> Any:
            with _again(retries, context.retry_number, context.log.warning):
                return function(context, **more)

        @wraps(function)
        def attempts(context: AssetExecutionContext, **more: Any) -> Iterator[Any]:
            with _again(retries, context.retry_number, context.log.warning):
                yield from function(context, **more)

        return attempts if isgeneratorfunction(function) else attempt

    return decorate


def tag(retries: Retries) -> dict[str, str]:
    """What tells `stored` of them."""
    return {TAG: retries.model_dump_json()}


@contextmanager
def stored(context: InputContext | OutputContext) -> Iterator[None]:
    """Ask Dagster for another attempt where an IO manager cannot read or write now."""
    try:
        step = context.step_context
    except DagsterInvariantViolationError:  # outside of a run nobody could try again
        yield
        return
    retries = Retries.model_validate_json((step.step.tags or {}).get(TAG, "{}"))
    with _again(retries, step.previous_attempt_count, step.log.warning):
        yield


@contextmanager
def _again(retries: Retries, made: int, warn: Callable[[str], object]) -> Iterator[None]:
    """`made`: the attempts before this one that failed."""
    try:
        yield
    except PASSING as error:
        if made >= retries.most or not passes(error):
            raise
        warn(f"Attempt {made + 1} of {retries.most + 1} failed: {error}")
        wait = retries.wait * 2**made
        raise RetryRequested(max_retries=retries.most, seconds_to_wait=wait) from error
