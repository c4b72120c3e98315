"""What a use case declares of its champion: by which figure it is chosen, and what no champion may be.

It must not look at a candidate (champion.py does).
"""

import math

import msgspec

from mlplatform.errors import ConfigurationError
from mlplatform.stages.evaluation.metrics import METRICS, Metric, metric_named

CALIBRATION_ERROR = "ece"


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """Choose by `metric`, gain at least `minimum_gain`, beat the models `beat` and the present champion.

    `minimum_gain` is in the metric's own unit and counts against each rival; a gain of zero is never enough.
    `confidence`: the lower end of the gain's interval at this level must be above `surely_above`, against
    each rival. `slice_tolerance`: on no slice may a candidate be worse by more, in the metric's unit, than
    the champion, or before there is one the models `beat`. `max_calibration_error` limits the figure `ece`.
    `highest_plausible` names higher-is-better figures above which a candidate is refused as a probable leak.

    Raises
    ------
    ConfigurationError
        if a metric is unknown, a number has no meaning, or there is nothing to beat.
    """

    metric: str = "log_loss"
    minimum_gain: float = 0.0
    beat: tuple[str, ...] = ("rate_table",)
    confidence: float | None = None
    surely_above: float = 0.0
    slice_tolerance: float | None = None
    max_calibration_error: float | None = None
    highest_plausible: dict[str, float] = {}

    def __post_init__(self) -> None:
        metric_named(self.metric)
        for name, value in self.highest_plausible.items():
            _higher_is_better(name)
            _number(f"highest_plausible.{name}", value)
        for name in ("minimum_gain", "surely_above", "slice_tolerance", "max_calibration_error"):
            _number(name, getattr(self, name))
        if self.confidence is not None and not 0.0 < self.confidence < 1.0:
            raise _wrong("confidence", self.confidence, "a number between 0 and 1, such as 0.9, is allowed")
        if not self.beat or len(set(self.beat)) != len(self.beat):
            raise _wrong("beat", list(self.beat), "one or more different models are allowed")

    @property
    def figure(self) -> Metric:
        """The deciding metric."""
        return METRICS[self.metric]

    @property
    def needed(self) -> tuple[str, ...]:
        """The figures without which a candidate cannot be judged."""
        limited = () if self.max_calibration_error is None else (CALIBRATION_ERROR,)
        return (self.metric, *self.highest_plausible, *limited)

    def gain(self, figure: float, over: float) -> float:
        """By how much `figure` is better than `over`; negative if it is worse."""
        return self.figure.gain(figure, over)


def _higher_is_better(name: str) -> None:
    allowed = [each for each, metric in METRICS.items() if metric.higher_is_better]
    if name not in allowed:
        raise ConfigurationError(
            f"the champion rule names the metric {name!r}; allowed: {', '.join(allowed)}.",
            hint="A highest plausible figure is one of those that are better the higher they are.",
        )


def _number(name: str, value: float | None) -> None:
    if value is not None and not (math.isfinite(value) and value >= 0.0):
        raise _wrong(name, value, "a finite number of at least 0 is allowed")


def _wrong(name: str, value: object, allowed: str) -> ConfigurationError:
    return ConfigurationError(
        f"the champion rule has {name} = {value}; {allowed}.",
        hint="Correct it in the use case's champion rule.",
    )
