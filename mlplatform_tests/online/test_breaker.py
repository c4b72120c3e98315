"""The breaker: when it opens, when it probes, when it closes, on a clock of its own."""

from hypothesis import given
from hypothesis import strategies as st

from mlplatform.online.breaker import FAR, GOOD_PROBES, LONGEST_PAUSE, MOST_BAD, WINDOW, Breaker

DEADLINE = 0.1


class Clock:
    """Seconds that pass when told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def opened() -> tuple[Breaker, Clock]:
    clock = Clock()
    breaker = Breaker(DEADLINE, clock)
    for _ in range(MOST_BAD):
        breaker.failed()
    assert breaker.is_open
    return breaker, clock


def test_it_opens_after_a_few_bad_answers_among_the_last() -> None:
    breaker = Breaker(DEADLINE, Clock())
    for _ in range(MOST_BAD - 1):
        breaker.took(2 * DEADLINE)
        for _ in range(WINDOW // MOST_BAD - 1):
            breaker.took(DEADLINE / 2)
    assert breaker.state == "closed"
    breaker.failed()
    assert (breaker.state, breaker.late, breaker.errors, breaker.opened) == ("open", MOST_BAD - 1, 1, 1)


def test_bad_answers_far_apart_do_not_open_it() -> None:
    breaker = Breaker(DEADLINE, Clock())
    for _ in range(5 * MOST_BAD):
        breaker.took(2 * DEADLINE)
        for _ in range(WINDOW // (MOST_BAD - 1)):
            breaker.took(DEADLINE)
    assert not breaker.is_open


def test_one_answer_that_is_far_too_late_opens_it() -> None:
    breaker = Breaker(DEADLINE, Clock())
    breaker.took(FAR * DEADLINE * 1.01)
    assert breaker.is_open


def test_it_is_probed_one_at_a_time_after_a_pause_and_closes_after_some_good_ones() -> None:
    breaker, clock = opened()
    assert not breaker.wants_probe()
    clock.now = 1.0
    for _ in range(GOOD_PROBES):
        assert breaker.wants_probe()
        assert not breaker.wants_probe()
        assert breaker.state == "half-open"
        breaker.probed(good=True)
    assert (breaker.state, breaker.wants_probe()) == ("closed", False)
    breaker.failed()
    assert not breaker.is_open  # what was before is forgotten


def test_a_bad_probe_doubles_the_pause_up_to_the_longest() -> None:
    breaker, clock = opened()
    pauses = []
    for _ in range(8):
        clock.now = breaker.probe_at
        assert breaker.wants_probe()
        breaker.probed(good=False)
        pauses.append(breaker.probe_at - clock.now)
    assert pauses == [2.0, 4.0, 8.0, 16.0, 30.0, LONGEST_PAUSE, LONGEST_PAUSE, LONGEST_PAUSE]


def test_one_that_opens_again_soon_waits_longer() -> None:
    breaker, clock = opened()
    clock.now = 1.0
    for _ in range(GOOD_PROBES):
        breaker.wants_probe()
        breaker.probed(good=True)
    for _ in range(MOST_BAD):
        breaker.failed()
    assert breaker.probe_at - clock.now == 2.0


@given(st.lists(st.sampled_from(["good", "late", "error", "probe good", "probe bad", "wait"]), max_size=200))
def test_it_is_open_only_after_bad_answers_and_always_comes_to_be_probed(steps: list[str]) -> None:
    clock = Clock()
    breaker, bad = Breaker(DEADLINE, clock), 0
    for step in steps:
        match step:
            case "good":
                breaker.took(0.01)
            case "late":
                breaker.took(2 * DEADLINE)
                bad += 1
            case "error":
                breaker.failed()
                bad += 1
            case "wait":
                clock.now += LONGEST_PAUSE
            case _:
                if breaker.wants_probe():
                    breaker.probed(good=step == "probe good")
        assert bad >= MOST_BAD or not breaker.is_open
    clock.now += LONGEST_PAUSE
    assert breaker.wants_probe() == breaker.is_open
