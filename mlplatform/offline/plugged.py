"""What a declaration tells its plug-ins, tried without data: parameters of models, options of split and
selection.

Apart from `declared.py` because it imports every model's library. It must not train or read anything.
"""

from collections.abc import Mapping
from typing import Any

import polars as pl

from mlplatform import plugins
from mlplatform.errors import ConfigurationError
from mlplatform.offline.declared import Declared
from mlplatform.offline.division import of_declaration
from mlplatform.offline.evaluated import check_slices
from mlplatform.offline.search_declared import check_search
from mlplatform.stages.preparation import selection
from mlplatform.stages.segregation.dataset import segregate
from mlplatform.stages.training import models
from mlplatform.stores.division import options_of


def check_plugins(declared: Declared) -> None:
    """Build every model and divide no rows, so that a wrong parameter is known before hours of work.

    Raises
    ------
    ConfigurationError
        at the first that is refused; the message begins with its key in defs.yaml.
    """
    for name, model in declared.config.models.items():
        try:
            plugins.find(models, model.type).build(**model.params)
        except ConfigurationError as error:
            raise ConfigurationError(f"models.{name}.params: {error}", hint=error.hint) from error
        check_search(declared, name)
    _check_split(declared)
    _check_selection(declared)
    check_slices(declared)


def _check_split(declared: Declared) -> None:
    """Columns that options name are taken on trust: which a cleaned table has is known when it is there."""
    spine, label = declared.feature_set.spine, declared.config.target
    strategy, options = (
        declared.config.split.strategy,
        split_options(declared, str(declared.config.split.as_of)),
    )
    named = [value for value in options.values() if isinstance(value, str) and value.isidentifier()]
    columns: dict[str, Any] = dict.fromkeys([*named, *spine.key, "partition_key"], pl.String)
    if label:
        columns[label] = pl.Boolean if declared.config.task == "classification" else pl.Float64
    try:
        segregate(
            pl.DataFrame(schema=columns), strategy=strategy, options=options, keys=spine.key, label=label
        )
    except ConfigurationError as error:
        raise ConfigurationError(f"split.options: {error}", hint=error.hint) from error


def _check_selection(declared: Declared) -> None:
    chosen = declared.config.selection
    if chosen is None:
        return
    try:
        selection.check(declared.feature_set, chosen.strategy, chosen.options)
    except ConfigurationError as error:
        raise ConfigurationError(f"selection.options: {error}", hint=error.hint) from error


def split_options(
    declared: Declared, as_of: str, strategy: str = "", given: Mapping[str, object] | None = None
) -> dict[str, object]:
    """What a strategy (empty: the declared one) is told: the day, the column of days, its options.

    Declared options are those of the declared strategy; another gets only those `given`, which come first.
    """
    return options_of(of_declaration(declared), as_of, strategy, given)
