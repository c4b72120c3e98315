"""Metrics in the form of Prometheus: what is measured (`families`), the text it is told in (`exposition`),
several processes told of as one (`shared`), and the process itself (`process`).

Whoever counts adds to plain integers of its own, in one thread; only who asks pays for more. It must not know
what is counted, nor HTTP.
"""

from mlplatform.crosscutting.metrics.families import Family, Samples, merged
from mlplatform.crosscutting.metrics.shared import SharedSamples

__all__ = ["Family", "Samples", "SharedSamples", "merged"]
