"""Page-Hinkley: has the mean of a stream of errors risen? One small state per stream, a value at a time.

It sees a change within minutes of the outcomes, without a reference and without windows; so it may ask for
a retraining or a look, and never takes a champion back (decision.py does, on paired evidence). It must not
know what the values are; how they depend on each other is the caller's care: losses of one stormy day rise
and fall together, the difference to the reference's losses, or means of blocks, hardly do.
"""

import math

import msgspec

from mlplatform.errors import ConfigurationError, ModelError


class PageHinkley(msgspec.Struct, kw_only=True):
    """The test and its state; msgspec's JSON of it goes on where it stopped.

    With z_t = (x_t - mean_t) / sd_t over all values so far, m_t = sum of (z_i - delta) and M_t the lowest m
    so far, an alarm is raised when m_t - M_t > threshold: the values have been more than delta standard
    deviations above the mean for long enough. A decrease only lowers M_t and is never an alarm.

    `delta` is the rise that is let pass, in standard deviations; `threshold` (lambda in the papers) trades
    delay for false alarms: a rise of s deviations is seen after about threshold / (s - delta) values, and
    independent normal values give a false alarm about every (exp(2 delta b) - 2 delta b - 1) / (2 delta^2)
    values, b = threshold + 1.17 (Siegmund 1985, Sequential Analysis, section 2.6): with 0.1 and 50 every 1.4
    million, a rise of half a deviation being seen after some 125.

    Source: Page 1954, Biometrika 41:100; Hinkley 1971, Biometrika 58:509; as used on streams of errors: Gama
    et al. 2014, doi:10.1145/2523813, section 3.2.

    Raises
    ------
    ConfigurationError
        if a number has no meaning.
    """

    delta: float = 0.1
    threshold: float = 50.0
    minimum: int = 100
    """Values before which nothing is said: mean and deviation must be known first."""
    n: int = 0
    mean: float = 0.0
    squares: float = 0.0
    """Sum of squared distances from the mean (Welford 1962)."""
    total: float = 0.0
    lowest: float = 0.0
    alarms: int = 0
    """Alarms so far; each begins the test anew."""

    def __post_init__(self) -> None:
        if not (self.delta >= 0.0 and self.threshold > 0.0 and self.minimum >= 2):
            raise ConfigurationError(
                f"Page-Hinkley has delta = {self.delta}, threshold = {self.threshold}, minimum = "
                f"{self.minimum}; allowed: at least 0, above 0, at least 2.",
                hint="The defaults are 0.1, 50 and 100.",
            )

    @property
    def statistic(self) -> float:
        """m - M: how far the sum has risen above its lowest point; an alarm beyond `threshold`."""
        return self.total - self.lowest

    def update(self, value: float) -> bool:
        """Take one error; whether the mean has risen. After an alarm the test begins anew.

        Raises
        ------
        ModelError
            if the value is not finite.
        """
        if not math.isfinite(value):
            raise ModelError(
                f"got an error of {value}; allowed: a finite number.", hint="Leave rows without outcome out."
            )
        self.n += 1
        step = value - self.mean
        self.mean += step / self.n
        self.squares += step * (value - self.mean)
        if self.n < self.minimum or self.squares <= 0.0:
            return False
        deviation = math.sqrt(self.squares / (self.n - 1))
        self.total += (value - self.mean) / deviation - self.delta
        self.lowest = min(self.lowest, self.total)
        if self.statistic <= self.threshold:
            return False
        self.n, self.mean, self.squares, self.total, self.lowest = 0, 0.0, 0.0, 0.0, 0.0
        self.alarms += 1
        return True
