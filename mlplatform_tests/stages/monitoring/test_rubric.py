"""The rubric: 28 tests in four sections, and the smallest of their sums as the score."""

import pytest

from mlplatform.errors import ConfigurationError
from mlplatform.stages.monitoring import rubric
from mlplatform.stages.monitoring.rubric import Evidence, Outcome


def all_of(outcome: Outcome, **other: Outcome) -> list[Evidence]:
    return [
        Evidence(test=id, outcome=other.get(id, outcome), check="a check", said="a figure")
        for id in rubric.TESTS
    ]


def test_four_sections_of_seven_tests_in_the_words_of_the_paper() -> None:
    assert [section.name for section in rubric.SECTIONS] == ["data", "model", "infra", "monitor"]
    assert [len(section.tests) for section in rubric.SECTIONS] == [7, 7, 7, 7]
    assert len(rubric.TESTS) == 28
    assert len({test.asks for test in rubric.TESTS.values()}) == 28
    assert rubric.TESTS["data_3"].asks == "No feature's cost is too much"
    assert rubric.TESTS["monitor_3"].short == "Training and serving are not skewed."


def test_a_section_is_a_sum_and_the_score_the_smallest_of_them() -> None:
    found = rubric.score(all_of("held", data_1="documented", data_2="broken", model_7="absent"))
    assert found.points == {"data": 5.5, "model": 6.0, "infra": 7.0, "monitor": 7.0}
    assert found.final == 5.5
    assert found.meaning == "Exceptional levels of automated testing and monitoring."
    assert [each.test for each in found.evidence["infra"]] == [f"infra_{n}" for n in range(1, 8)]


@pytest.mark.parametrize("outcome", ["broken", "absent"])
def test_what_does_not_hold_and_what_has_no_result_counts_nothing(outcome: Outcome) -> None:
    assert rubric.score(all_of(outcome)).final == 0.0


def test_one_weak_section_is_not_made_up_for_by_the_others() -> None:
    weak = {f"monitor_{n}": "absent" for n in range(1, 8)}
    found = rubric.score([e for e in all_of("held") if e.test not in weak] + all_of("absent")[21:])
    assert found.points["data"] == 7.0
    assert found.final == 0.0
    assert "research project" in found.meaning


@pytest.mark.parametrize(
    ("final", "said"),
    [
        (0.0, "More of a research project"),
        (0.5, "Not totally untested"),
        (1.0, "Not totally untested"),
        (1.5, "There's been first pass"),
        (2.5, "Reasonably tested"),
        (3.5, "Strong levels"),
        (5.0, "Strong levels"),
        (5.5, "Exceptional levels"),
    ],
)
def test_the_paper_s_reading_of_a_score(final: float, said: str) -> None:
    assert rubric.meaning(final).startswith(said)


def test_every_test_has_one_piece_of_evidence() -> None:
    given = all_of("held")
    with pytest.raises(ConfigurationError, match="got evidence of 27 tests"):
        rubric.score(given[1:])
    with pytest.raises(ConfigurationError, match="got evidence of 29 tests"):
        rubric.score([*given, given[0]])
