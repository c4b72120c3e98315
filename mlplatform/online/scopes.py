"""Which scope of a key each route needs: the one table. It must not know keys, nor answer anything.

What is not in the table needs `admin`, so a route that nobody thought of is closed.
"""

from mlplatform.stores.keys import Scope

OPEN = -1
"""No key is needed."""
_ANY, _SCORE, _INGEST = Scope.NONE.value, Scope.SCORE.value, Scope.INGEST.value
_ADMIN = Scope.ADMIN.value

RULES: tuple[tuple[str, tuple[str, ...], int], ...] = (
    # path begins with       methods (none: any)   scope
    ("/score/", ("POST",), _SCORE),
    ("/v2/models/", ("POST", "GET", "HEAD"), _SCORE),
    ("/scores/", ("GET", "HEAD"), _SCORE),
    ("/batch-scores", ("POST", "GET", "HEAD"), _SCORE),
    ("/events/", ("POST",), _INGEST),
    # Whoever decides whether a process lives or gets requests has no key.
    ("/health/", ("GET", "HEAD"), OPEN),
    ("/v2/health/", ("GET", "HEAD"), OPEN),
    # Any key: what a key's owner needs to use the service at all.
    ("/v1/status", ("GET", "HEAD"), _ANY),
    ("/metrics", ("GET", "HEAD"), _ANY),
    # Figures and distributions of what was asked, no rows.
    ("/status", ("GET", "HEAD"), _ANY),
    ("/reports/", ("GET", "HEAD"), _ANY),
    # As /scores/: facts and features of single questions.
    ("/trace", ("GET", "HEAD"), _SCORE),
    ("/openapi.json", ("GET", "HEAD"), _ANY),
    ("/docs", ("GET", "HEAD"), _ANY),
    ("/v2", ("GET", "HEAD"), _SCORE),
    ("/v2/repository/index", ("POST",), _SCORE),
    # Stored rows, with their labels.
    ("/splits/", (), _ADMIN),
)


def needed(path: str, method: str) -> int:
    """Bits of the scope that a request needs; 0 is any key, `OPEN` none."""
    for start, methods, scope in RULES:
        if path.startswith(start) and (not methods or method in methods):
            return scope
    return _ADMIN
