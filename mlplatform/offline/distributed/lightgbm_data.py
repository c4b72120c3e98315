"""LightGBM on rows divided over workers, by lightgbm.dask: `data` or `voting`. It gives a local model's text.

Rows i, i + k, i + 2k … go to worker i of k, so that each has every season of the window: a worker finds the
bins of its share of the features in its own rows. It must not deal with workers that die: `ring` does.
"""

import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import lightgbm as library
import msgspec
import numpy as np
import numpy.typing as npt

from mlplatform.errors import ModelError
from mlplatform.offline.distributed import ring, tasks
from mlplatform.stages.training.contract import Floats, Model, TrainingSet, check_served
from mlplatform.stages.training.models import _lightgbm_task, lightgbm

_OF_THE_RUN = re.compile(
    r"^\[(num_threads|num_machines|local_listen_port|time_out|machines): .*\]\n", re.MULTILINE
)
"""Lines of the text that say where it was trained."""

_LOCAL_ONLY = ("num_threads", "checkpoint_every")
"""Parameters of a training in one process: a worker has one thread, a ring that breaks begins anew."""

Sizes = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Part:
    """Rows of one worker; `sizes` are those of the groups of a ranking."""

    X: Floats
    y: Floats
    sizes: Sizes | None


def fit(
    client: Any,
    params: Mapping[str, object],
    training: TrainingSet,
    learner: Literal["data", "voting"],
    workers: int = 2,
    limit: float = tasks.LIMIT,
) -> Model:
    """A model as `lightgbm` makes it, learned by `workers` workers; the same number gives the same bytes.

    Raises
    ------
    ModelError
        what cannot be learned, fewer rows or groups than workers, or what `ring.together` raises.
    """
    given = lightgbm.build(**params).params
    check_served("lightgbm", lightgbm.TASKS, training)
    lightgbm._check_names(training.names)
    told = msgspec.structs.asdict(given)
    told |= _lightgbm_task.objective(training, given.objective)
    told |= {"deterministic": True, "force_row_wise": True, "verbosity": -1, "tree_learner": learner}
    rounds = told.pop("num_iterations")
    for name in _LOCAL_ONLY:
        told.pop(name, None)
    rows = _lightgbm_task.data_set(training, told)

    def work(own: Any, members: Sequence[str]) -> str:
        own.run(aside, workers=list(members))
        return _text(own, members, rows, told | {"n_estimators": rounds})

    quiet()
    try:
        text = ring.together(client, work, workers, limit)
    except library.basic.LightGBMError as error:
        raise ModelError(f"LightGBM cannot learn from these rows on {workers} workers: {error}.") from error
    return lightgbm.load({"model.txt": _OF_THE_RUN.sub("", text).encode()})


def quiet() -> None:
    """LightGBM tells its ports on standard output, where a command's own answer belongs; log it instead."""
    log = logging.getLogger("lightgbm")
    log.addFilter(_worth_telling)
    library.register_logger(log)


def aside() -> None:
    """In a worker: what LightGBM's C code prints goes to standard error, since its threads know no logger."""
    os.dup2(2, 1)


def _worth_telling(record: logging.LogRecord) -> bool:
    return record.levelno > logging.INFO and "will be ignored" not in record.getMessage()


def parts(rows: Any, count: int) -> list[Part]:
    """The rows of a not yet constructed `lightgbm.Dataset` for `count` workers; groups stay whole."""
    sizes = rows.group
    units = len(rows.label) if sizes is None else len(sizes)
    if units < count:
        raise ModelError(
            f"got {units} {'rows' if sizes is None else 'groups'} to train on {count} workers.",
            hint="Train without `parallel`, or lower `workers`.",
        )
    owner = np.arange(units) % count
    of_row = owner if sizes is None else np.repeat(owner, sizes)
    return [
        Part(rows.data[of_row == i], rows.label[of_row == i], None if sizes is None else sizes[owner == i])
        for i in range(count)
    ]


def _text(own: Any, members: Sequence[str], rows: Any, told: Mapping[str, Any]) -> str:
    """The booster as text, trained on the members with the parameters of lightgbm.dask."""
    from lightgbm.dask import DaskLGBMRanker, DaskLGBMRegressor

    divided = parts(rows, len(members))
    # The classifier numbers the labels on each worker by itself: rows with label 1 only would become label 0.
    # The regressor takes labels as they are and learns `binary` all the same.
    ranking = rows.group is not None
    estimator = (DaskLGBMRanker if ranking else DaskLGBMRegressor)(client=own, **told)
    columns = {"feature_name": rows.feature_name, "categorical_feature": rows.categorical_feature}
    if ranking:
        columns["group"] = _placed(own, members, [part.sizes for part in divided])
    estimator.fit(
        _placed(own, members, [part.X for part in divided]),
        _placed(own, members, [part.y for part in divided]),
        **columns,
    )
    text: str = estimator.booster_.model_to_string()
    if len(members) > 1 and f"[num_machines: {len(members)}]" not in text:
        raise ring.Broken(f"the rows did not stay on {len(members)} workers.")
    return text


def _placed(own: Any, members: Sequence[str], arrays: Sequence[Any]) -> Any:
    """A dask array of one chunk per member, each held by that member."""
    import dask.array

    chunks = []
    for member, values in zip(members, arrays, strict=True):
        future = own.submit(tasks.held, values, workers=[member], allow_other_workers=False, pure=False)
        chunks.append(dask.array.from_delayed(future, shape=values.shape, dtype=values.dtype))
    return dask.array.concatenate(chunks)
