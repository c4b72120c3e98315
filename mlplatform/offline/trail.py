"""What the trail of a score takes from a declaration: which data sets cleaning joins one with.

It must not trace; `stores/tracing` does, for services too, which read no declarations.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from mlplatform.errors import ConfigurationError, NotFound
from mlplatform.offline import project
from mlplatform.offline.declared import Declared


def declared_reads(start: Path) -> Callable[[str], Mapping[str, tuple[str, ...]]]:
    """Use case → data set → what its cleaning reads beside it; nothing for a use case that is not found here.

    `start` is the folder below which use cases are looked for.
    """

    def reads(use_case: str) -> Mapping[str, tuple[str, ...]]:
        try:
            declared = project.load(project.find(use_case, start))
        except (ConfigurationError, NotFound):  # the score is traced all the same
            return {}
        return joined(declared)

    return reads


def joined(declared: Declared) -> dict[str, tuple[str, ...]]:
    """Data set → what its cleaning reads beside it; nothing of those that are cleaned alone."""
    return {name: tuple(each.reads) for name, each in declared.config.data_sets.items() if each.reads}
