"""A policy in words: every value of it is said."""

import pytest

from mlplatform.stages.deployment.policy import Policy
from mlplatform.stages.deployment.served import in_words


def test_the_defaults() -> None:
    assert in_words(Policy(), ("order_id",)) == {
        "deadline": "100 ms; a version that takes longer is passed over",
        "previous versions": "1 earlier champion is kept loaded to answer for the champion",
        "batch scores": "answer when no version does, at most 1440 minutes from the question",
        "constant": "none; what nothing else answers is refused (503)",
        "canary": "gets its share of the entities (order_id), each always from the same version",
        "shadow": "is asked after the answer is sent, and only logged",
        "score log": "is written after the answer is sent",
    }


@pytest.mark.parametrize(
    ("policy", "subject", "said"),
    [
        (Policy(deadline_ms=20.5, own_process=True), "deadline", "20.5 ms, in a process of its own; "),
        (Policy(previous_versions=0), "previous versions", "none is kept loaded"),
        (Policy(previous_versions=3), "previous versions", "3 earlier champions are kept loaded"),
        (Policy(precomputed="never"), "batch scores", "never answer"),
        (
            Policy(precomputed="first", valid_minutes=30),
            "batch scores",
            "answer before any version is asked, ",
        ),
        (Policy(constant=0.25), "constant", "0.25 is the answer when there is no other"),
        (Policy(entity=("carrier", "flight")), "canary", "gets its share of the entities (carrier, flight)"),
        (Policy(log="sync"), "score log", "is written before the answer is sent"),
    ],
)
def test_what_is_declared(policy: Policy, subject: str, said: str) -> None:
    assert in_words(policy)[subject].startswith(said)
