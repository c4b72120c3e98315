"""Which failures of an asset are tried again, and when: those of stores and disks, not those of declarations.

A wrong parameter or rows that nothing can be learned from stay wrong however often they are tried. It must
not hide an error: the last attempt raises what it met.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

from dagster import AssetExecutionContext, RetryRequested

from mlplatform.errors import NotFound, SchemaMismatch, StoreError
from mlplatform.offline.config import Retries


def passes(error: BaseException) -> bool:
    """Whether the same work may succeed a little later."""
    return isinstance(error, StoreError | OSError) and not isinstance(error, NotFound | SchemaMismatch)


def retried(retries: Retries) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Ask Dagster for another attempt at an asset's function, waiting twice as long each time."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def attempt(context: AssetExecutionContext, **more: Any) -> Any:
            try:
                return function(context, **more)
            except (StoreError, OSError) as error:
                made = context.retry_number
                if made >= retries.most or not passes(error):
                    raise
                context.log.warning(f"Attempt {made + 1} of {retries.most + 1} failed: {error}")
                wait = retries.wait * 2**made
                raise RetryRequested(max_retries=retries.most, seconds_to_wait=wait) from error

        return attempt

    return decorate
