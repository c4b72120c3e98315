"""What of a declaration dividing its rows takes, as the lake keeps it for services that read no declarations.

It must not import Dagster.
"""

from mlplatform.offline.declared import Declared
from mlplatform.stores.division import Division


def of_declaration(declared: Declared) -> Division:
    """Table, key, label, days and declared strategy of a use case."""
    config, spine = declared.config, declared.feature_set.spine
    return Division(
        use_case=declared.name,
        table=spine.table,
        key=tuple(spine.key),
        label=config.target,
        strategy=config.split.strategy,
        options=dict(config.split.options),
        as_of=str(config.split.as_of),
        first=str(config.days.first),
        last=str(config.days.last),
    )
