"""The decision: hysteresis, one aspect at a time, only on new evidence; and it never flaps."""

from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from mlplatform.stages.deployment.alias import Change, Deployment, deployed
from mlplatform.stages.deployment.release import Release
from mlplatform.stages.monitoring.verdict import Aspect, RollbackRule, Verdict, decide

RULE = RollbackRule(windows=3, minimum_new=100)


def verdict(
    worse: bool | None,
    total: int,
    *,
    aspect: Aspect = "accuracy",
    version: str = "version 7",
    reference: str = "version 6",
) -> Verdict:
    return Verdict(
        aspect=aspect,
        metric="log_loss",
        version=version,
        reference=reference,
        worse=worse,
        n=total,
        total=total,
        sentence=f"{aspect} at {total} is {worse}.",
    )


def test_three_in_a_row_roll_back_and_say_why() -> None:
    history = [verdict(True, total) for total in (400, 500, 600)]
    assert not decide(history[:2], RULE).roll_back
    decision = decide(history, RULE)
    assert decision.roll_back
    assert (decision.version, decision.aspect, decision.checks) == ("version 7", "accuracy", 3)
    assert decision.cause == (
        "version 7 is rolled back: 3 checks in a row said worse, the latest that accuracy at 600 is True."
    )


def test_a_check_without_new_outcomes_is_no_new_evidence() -> None:
    history = [verdict(True, 400), *(verdict(True, 400 + few) for few in range(0, 100, 10))]
    assert decide(history, RULE).checks == 1
    assert decide([*history, verdict(True, 500)], RULE).checks == 2


def test_small_steps_add_up() -> None:
    history = [verdict(True, total) for total in range(400, 601, 20)]
    assert decide(history, RULE).roll_back


def test_not_worse_and_not_enough_begin_anew() -> None:
    for between in (False, None):
        history = [verdict(True, 400), verdict(True, 500), verdict(between, 600), verdict(True, 700)]
        assert decide(history, RULE).checks == 1


def test_aspects_do_not_add_up_and_the_cause_is_of_the_one_that_counts() -> None:
    history = [
        verdict(True, 400),
        verdict(True, 400, aspect="speed"),
        verdict(True, 500),
        verdict(False, 500, aspect="speed"),
        verdict(True, 600),
        verdict(True, 600, aspect="speed"),
    ]
    assert not decide(history[:4], RULE).roll_back
    assert decide(history, RULE).aspect == "accuracy"


def test_another_reference_or_version_begins_anew() -> None:
    history = [verdict(True, 400), verdict(True, 500)]
    assert decide([*history, verdict(True, 600, reference="version 5")], RULE).checks == 1
    assert decide([*history, verdict(True, 600, version="version 8")], RULE).checks == 1


def test_without_a_history_nothing_is_done() -> None:
    assert not decide([], RULE).roll_back


@given(
    st.lists(
        st.tuples(st.sampled_from([True, True, False, None]), st.integers(0, 300)), min_size=1, max_size=40
    )
)
def test_never_with_fewer_checks_or_outcomes_than_the_rule_asks(steps: list[tuple[bool | None, int]]) -> None:
    history, total = [], 0
    for worse, more in steps:
        total += more
        history.append(verdict(worse, total))
    if decide(history, RULE).roll_back:
        tail = list(history[::-1])
        run = next((at for at, each in enumerate(tail) if not each.worse), len(tail))
        assert run >= RULE.windows
        assert tail[0].total - tail[run - 1].total >= (RULE.windows - 1) * RULE.minimum_new


VERSIONS = range(1, 5)
RELEASES = [
    Release(
        use_case="u",
        version=version,
        digest=f"{version:064x}",
        model="m",
        feature_set_id="f@0",
        figures={},
        as_of="2013-01-01",
        released_at=datetime(2013, 1, 1, tzinfo=UTC),
        released_by="a person",
        why="",
    )
    for version in VERSIONS
]


class World:
    """The alias history, and what the rule does to it; whether each version looks worse is arbitrary."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.verdicts: list[Verdict] = []
        self.total = 0

    @property
    def present(self) -> Deployment | None:
        return deployed(RELEASES, self.changes)

    def change(self, action: str, version: int) -> None:
        self.verdicts = []  # since the champion came into use
        number, at = len(self.changes) + 1, datetime(2013, 1, 1, tzinfo=UTC)
        self.changes.append(
            Change(
                use_case="u",
                number=number,
                action=action,  # type: ignore[arg-type]
                version=version,
                changed_at=at,
                changed_by="rule",
                why="",
            )
        )

    def check(self, worse: bool | None) -> None:
        present = self.present
        if present is None or not present.previous:
            return
        self.total += 150
        names = (f"version {each.version}" for each in (present.champion, present.previous[0]))
        version, reference = names
        self.verdicts.append(verdict(worse, self.total, version=version, reference=reference))
        if decide(self.verdicts, RULE).roll_back:
            self.change("rollback", present.previous[0].version)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.sampled_from(VERSIONS), st.sampled_from([True, True, True, False, None]))))
def test_it_never_flaps(steps: list[int | bool | None]) -> None:
    """Whatever the checks say: what was taken back is champion again only if a person promotes it."""
    world, out = World(), set()
    promoted = rolled_back = 0
    for step in steps:
        before = len(world.changes)
        if isinstance(step, bool) or step is None:
            champion = world.present.champion.version if world.present else None
            world.check(step)
            if len(world.changes) > before:
                rolled_back += 1
                out.add(champion)
        else:
            promoted += 1
            world.change("promote", step)
            out.discard(step)
        if world.present:
            assert world.present.champion.version not in out
    assert rolled_back <= max(promoted - 1, 0)
