"""What a declaration tells its plug-ins, tried without data: parameters of models, options of split and
selection.

Apart from `declared.py` because it imports every model's library. It must not train or read anything.
"""

import inspect

import polars as pl

from mlplatform import plugins
from mlplatform.errors import ConfigurationError
from mlplatform.offline.declared import Declared
from mlplatform.stages.preparation import selection
from mlplatform.stages.segregation import splits
from mlplatform.stages.segregation.dataset import segregate
from mlplatform.stages.training import models


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
    spine, label = declared.feature_set.spine, declared.config.label.column
    columns = {**dict.fromkeys([*spine.key, "partition_key"], pl.String), label: pl.Boolean}
    options = split_options(declared, str(declared.config.split.as_of))
    strategy = declared.config.split.strategy
    try:
        segregate(
            pl.DataFrame(schema=columns), strategy=strategy, options=options, keys=spine.key, label=label
        )
    except ConfigurationError as error:
        raise ConfigurationError(f"split.options: {error}", hint=error.hint) from error
    _check_selection(declared)


def _check_selection(declared: Declared) -> None:
    chosen = declared.config.selection
    if chosen is None:
        return
    try:
        selection.check(declared.feature_set, chosen.strategy, chosen.options)
    except ConfigurationError as error:
        raise ConfigurationError(f"selection.options: {error}", hint=error.hint) from error


def split_options(declared: Declared, as_of: str) -> dict[str, object]:
    """The declared options, and what every strategy by time is told."""
    takes = inspect.signature(plugins.find(splits, declared.config.split.strategy).split).parameters
    told: dict[str, object] = {"time": "partition_key", "as_of": as_of}
    return {**{name: value for name, value in told.items() if name in takes}, **declared.config.split.options}
