"""The trail of a score: back to the delivery its row came from, and forward from a batch to scores.

backward.py  a score → release, candidate, evaluation, split, features → batches → files
forward.py   a batch → partitions, candidates, scores it touched
found.py     scores by their ids · origin.py  what is known of a use case, read once
rows.py      the questions' rows and features · fed.py  the rows within the features' windows
published.py what the services are told of a declaration · __main__.py  one trail, as a process of its own
"""

from mlplatform.stores.tracing.backward import Tracer, trace
from mlplatform.stores.tracing.forward import touched_by

__all__ = ["Tracer", "touched_by", "trace"]
