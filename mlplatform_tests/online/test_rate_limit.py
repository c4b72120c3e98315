"""The rate limit equals a token bucket that is filled step by step, and stays small."""

from hypothesis import given
from hypothesis import strategies as st

from mlplatform.online.rate_limit import RateLimit


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_then_the_rate() -> None:
    clock = Clock()
    limit = RateLimit(2.0, 3, clock=clock)
    assert [limit.wait("a") for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]
    assert limit.wait("b") == 0.0
    clock.now += 0.5
    assert [limit.wait("a") for _ in range(2)] == [0.0, 0.5]
    clock.now += 100
    assert [limit.wait("a") for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]


@given(st.integers(1, 5), st.integers(1, 6), st.lists(st.integers(0, 12), max_size=60))
def test_it_is_a_token_bucket(rate: int, burst: int, steps: list[int]) -> None:
    clock = Clock()
    limit = RateLimit(rate, burst, clock=clock)
    quarters = 4 * burst  # tokens in quarters, and time in quarters of 1 / rate: whole numbers
    for step in steps:
        clock.now += step / (4 * rate)
        quarters = min(quarters + step, 4 * burst)
        assert (limit.wait("a") == 0.0) is (quarters >= 4)
        quarters -= 4 if quarters >= 4 else 0


def test_callers_that_are_full_again_are_forgotten_first() -> None:
    clock = Clock()
    limit = RateLimit(1.0, 1, most=10, clock=clock)
    for number in range(10):
        limit.wait(f"old {number}")
    clock.now += 2
    limit.wait("busy")
    assert len(limit) <= 2
    assert limit.wait("busy") > 0


def test_made_up_callers_take_no_more_room() -> None:
    limit = RateLimit(1.0, 1, most=100, clock=Clock())
    for number in range(5_000):
        limit.wait(str(number))
        assert len(limit) <= 100
