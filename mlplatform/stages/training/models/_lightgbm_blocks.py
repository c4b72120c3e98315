"""Trains LightGBM in blocks of rounds, each of which can be continued by another process, to the byte.

LightGBM's random draws (rows of a bag, features of a tree) are a stream that nobody can store, so every block
begins a stream of its own, whose seed is the model's seed and the block's first round. Whether the booster is
the one that made the blocks before or one that was read from their text makes no difference then: LightGBM's
text holds every bit of the trees, and it adds their values to a row's score in the same order both times.
It must not know where checkpoints rest.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import lightgbm
import numpy as np
from lightgbm.callback import CallbackEnv

from mlplatform.stages.training.checkpoints import Checkpoint, Checkpoints
from mlplatform.stages.training.models import _lightgbm_task

_ROUNDS = re.compile(r"^\[num_iterations: \d+\]$", re.MULTILINE)
_STUMP = "\nnum_leaves=1\n"
"""A first tree that found nothing to split."""


@dataclass(frozen=True)
class Blocks:
    """How a training is cut: `rounds` in all, a checkpoint after `every` of them."""

    rounds: int
    every: int
    key: str
    """What the checkpoint is kept under."""


def train(params: Mapping[str, Any], data: lightgbm.Dataset, blocks: Blocks, checkpoints: Checkpoints) -> str:
    """The model's text, made from a checkpoint on if there is one.

    Raises
    ------
    ModelError
        as `_lightgbm_task.train`.
    """
    found = checkpoints.load(blocks.key)
    done = found.steps if found else 0
    text = found.state.decode() if found else ""
    if done < blocks.rounds:
        before = lightgbm.Booster(model_str=text) if text else None
        cut = (_Begin(params, blocks, done), _End(params, blocks, done, checkpoints))
        text = _lightgbm_task.train(params, data, blocks.rounds - done, before, cut).model_to_string()
    # The text tells how many rounds this process made, which is no property of the model.
    return _ROUNDS.sub(f"[num_iterations: {blocks.rounds}]", text, count=1)


class _Begin:
    """Before a block's first round: its own stream of random draws."""

    before_iteration = True
    order = 0

    def __init__(self, params: Mapping[str, Any], blocks: Blocks, done: int) -> None:
        self._params, self._every, self._done = params, blocks.every, done

    def __call__(self, env: CallbackEnv) -> None:
        round_ = self._done + env.iteration - env.begin_iteration
        if round_ % self._every == 0:
            _reseed(env.model, self._params, round_)


class _End:
    """After a block's last round: a checkpoint."""

    order = 1

    def __init__(
        self, params: Mapping[str, Any], blocks: Blocks, done: int, checkpoints: Checkpoints
    ) -> None:
        self._blocks, self._done, self._checkpoints = blocks, done, checkpoints
        self._bag_lasts = params["bagging_freq"] > 1
        self._trees: int | None = None
        self._exact = True

    def __call__(self, env: CallbackEnv) -> None:
        done = self._done + env.iteration - env.begin_iteration + 1
        self._exact &= self._in_step(env)
        if self._exact and (done % self._blocks.every == 0 or done == self._blocks.rounds):
            text = env.model.model_to_string()
            if not (self._bag_lasts and _STUMP in text):
                self._checkpoints.save(self._blocks.key, Checkpoint(done, text.encode()))

    def _in_step(self, env: CallbackEnv) -> bool:
        """Whether the beginnings of blocks are still those of bags.

        LightGBM counts the rounds of a bag by the trees it split. A round without one moves the bags that
        follow, and only this process knows by how much: no checkpoint is exact then.
        """
        before, self._trees = self._trees, env.model.current_iteration()
        return not self._bag_lasts or self._trees > (env.begin_iteration if before is None else before)


def _reseed(booster: lightgbm.Booster, params: Mapping[str, Any], round_: int) -> None:
    """Begin the streams anew: LightGBM does so when a seed, or the share of a bag, is another than before."""
    drawn = np.random.SeedSequence([params["seed"], round_]).generate_state(2)
    bag, features = (int(seed >> 1) for seed in drawn)
    share = params["bagging_fraction"]
    bagged = share < 1 and params["bagging_freq"] > 0
    for fraction, away in ((share / 2, 1), (share, 0)):
        told = {"feature_fraction_seed": features ^ away, "bagging_seed": bag}
        booster.reset_parameter(told | ({"bagging_fraction": fraction} if bagged else {}))
