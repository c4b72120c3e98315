"""How a policy serves, in words: each step of what happens to a question, the first one first.

It must not know a server, nor which versions are in use.
"""

from mlplatform.stages.deployment.policy import Policy

_PRECOMPUTED = {
    "never": "never answer",
    "fallback": "answer when no version does",
    "first": "answer before any version is asked",
}
_LOGGED = {
    "async": "after the answer is sent",
    "sync": "before the answer is sent",
}


def in_words(policy: Policy, key: tuple[str, ...] = ()) -> dict[str, str]:
    """What serves by it, by subject: a short name and half a sentence.

    Parameters
    ----------
    key : the facts that name a question, by which a canary's share is chosen if the policy names none.
    """
    where = ", in a process of its own" if policy.own_process else ""
    return {
        "deadline": f"{policy.deadline_ms:g} ms{where}; a version that takes longer is passed over",
        "previous versions": _previous(policy.previous_versions),
        "batch scores": _batch(policy),
        "constant": _constant(policy.constant),
        "canary": f"gets its share of {_entities(policy.entity or key)}, each always from the same version",
        "shadow": "is asked after the answer is sent, and only logged",
        "score log": f"is written {_LOGGED[policy.log]}",
    }


def _previous(count: int) -> str:
    if not count:
        return "none is kept loaded to answer for the champion"
    return f"{count} earlier champion{'s are' if count > 1 else ' is'} kept loaded to answer for the champion"


def _batch(policy: Policy) -> str:
    if policy.precomputed == "never":
        return _PRECOMPUTED["never"]
    return f"{_PRECOMPUTED[policy.precomputed]}, at most {policy.valid_minutes:g} minutes from the question"


def _constant(constant: float | None) -> str:
    if constant is None:
        return "none; what nothing else answers is refused (503)"
    return f"{constant:g} is the answer when there is no other"


def _entities(names: tuple[str, ...]) -> str:
    return f"the entities ({', '.join(names)})" if names else "the entities"
