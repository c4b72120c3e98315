"""The chain of responsibility, "better wrong than late": who answers, and who answers for whom.

The version asked for, or the canary or champion; the champions before it; a batch score that is declared
valid; the declared constant. A link that fails, or is known to be late, is passed over, and the answer says
which link gave it. It must not know HTTP.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

import msgspec

from mlplatform.errors import RequestError
from mlplatform.online.bundle import Asked, Bundle, OnServed
from mlplatform.online.deployed import Deployed
from mlplatform.online.facts import Facts
from mlplatform.online.last_links import LastLinks
from mlplatform.online.metrics.tallies import Tallies
from mlplatform.online.question import Question, entity_of
from mlplatform.online.version import Version
from mlplatform.stages.scoring.score import Answer, Link

_LOG = logging.getLogger(__name__)
T = TypeVar("T")
SHADOWED = "only a shadow"
MOST_SHADOWS = 100
"""Questions a shadow may be behind; what is more is not asked of it, and counted."""
QUIET = 5.0
"""Seconds in which a version's errors are logged once."""


class Chain:
    """Answers questions; to be used from one thread. `served` is told of every answer."""

    def __init__(
        self, served: OnServed | None = None, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._served, self._clock = served, clock
        self.fallbacks: Counter[str] = Counter()
        """Answers by a later link than the first, by use case."""
        self.shadows_dropped = 0
        self.tallies = Tallies()
        self._tasks: set[asyncio.Task[None]] = set()
        self._logged: dict[str, float] = {}

    async def answer(self, deployed: Deployed, question: Question[T], number: str | None = None) -> T:
        """The answer of the first link that has one; `number` is the version asked for.

        Raises
        ------
        RequestError
            if the question is wrong; 404 for a version that is not loaded; 503 if no link has an answer.
        """
        begin, troubles = self._clock(), list[str]()
        if number is None and deployed.plain and not deployed.champion.breaker.is_open:
            answers = await self._asked("champion", deployed.champion, question, begin, troubles)
            if answers is not None:
                return question.shape(deployed.champion.bundle, answers)
        return await self._by_links(deployed, question, number, begin, troubles)

    async def _by_links(
        self, deployed: Deployed, question: Question[T], number: str | None, begin: float, troubles: list[str]
    ) -> T:
        """The answer of the first link that has one, where it may be another than the champion."""
        last, tried = LastLinks(deployed, question), deployed.champion if troubles else None
        if number is None and deployed.policy.precomputed == "first":
            found = last.precomputed()
            if found is not None:
                return self._give(deployed, question, found, begin, troubles)
        entity = None
        if deployed.canary is not None and number is None:
            entity = self._entity(deployed, question)
        passed_over: list[tuple[Link, Version]] = []
        for link, version in deployed.links(number, entity):
            if version is tried:
                continue
            if version.breaker.is_open:
                held = "broken" if version.breaker.broken else "slow"
                troubles.append(f"version {version.bundle.release.version} is held to be {held}")
                passed_over.append((link, version))
                self._probe(version, question)
                continue
            answers = await self._asked(link, version, question, begin, troubles)
            if answers is not None:
                if troubles:
                    self.fallbacks[deployed.bundle.release.use_case] += 1
                self._shadow(deployed, question)
                return question.shape(version.bundle, answers)
        self.fallbacks[deployed.bundle.release.use_case] += 1
        given = last.answers()
        if given is not None:
            return self._give(deployed, question, given, begin, troubles)
        for link, version in passed_over:  # late is better than no answer
            answers = await self._asked(link, version, question, begin, troubles)
            if answers is not None:
                return question.shape(version.bundle, answers)
        raise last.refusal("; ".join(troubles))

    def alone(self, version: Version, facts: Facts) -> Answer:
        """The answer of one version to the facts of one row, whatever time it takes; it is logged."""
        bundle = version.bundle
        begin, asked = self._clock(), bundle.asked(facts)
        answer = bundle.told(asked, bundle.score_row(asked.row), "champion")
        self._log(bundle, [asked], [answer], begin, [])
        return answer

    async def _asked(
        self, link: Link, version: Version, question: Question[T], begin: float, troubles: list[str]
    ) -> list[Answer] | None:
        """The answers of one version; None if it has none, with why in `troubles`."""
        bundle, breaker = version.bundle, version.breaker
        started = self._clock()
        try:
            asked = question.asked(bundle)
            if len(asked) == 1 and not version.own_process:
                scores = [bundle.score_row(asked[0].row)]
            else:
                scores = await version.scores(asked, breaker.deadline * len(asked) - (started - begin))
        except RequestError as error:
            if error.status < 500 and not troubles:
                raise
            troubles.append(str(error))
            return None
        except TimeoutError:
            breaker.took(2 * breaker.deadline)
            self.tallies.failures[bundle.release.use_case, bundle.release.version, "timeout"] += 1
            troubles.append(f"version {bundle.release.version} took more than {breaker.deadline * 1000:g} ms")
            return None
        except Exception as error:  # noqa: BLE001  (whatever a model raises, another link answers, or none: 503)
            breaker.failed()
            self.tallies.failures[bundle.release.use_case, bundle.release.version, "error"] += 1
            self._tell(version, error)
            troubles.append(f"version {bundle.release.version} failed")
            return None
        now = self._clock()
        breaker.took((now - started) / len(asked))
        answers = [bundle.told(each, score, link) for each, score in zip(asked, scores, strict=True)]
        if now - begin > breaker.deadline * len(asked):
            answers = [msgspec.structs.replace(answer, late=True) for answer in answers]
        version.served[link] += len(answers)
        self._log(bundle, asked, answers, begin, troubles)
        return answers

    def _give(
        self,
        deployed: Deployed,
        question: Question[T],
        found: list[tuple[Asked, Answer]],
        begin: float,
        troubles: list[str],
    ) -> T:
        """Answers without a version, logged and in the form of the question."""
        bundle, deadline = deployed.bundle, deployed.policy.deadline_ms / 1000 * len(found)
        late = self._clock() - begin > deadline
        answers = [msgspec.structs.replace(each, late=True) if late else each for _, each in found]
        for answer in answers:
            deployed.champion.served[answer.link] += 1
        self._log(bundle, [asked for asked, _ in found], answers, begin, troubles)
        return question.shape(bundle, answers)

    def _log(
        self,
        bundle: Bundle,
        asked: Sequence[Asked],
        answers: Sequence[Answer],
        begin: float,
        troubles: Sequence[str],
    ) -> None:
        seconds = self._clock() - begin
        self.tallies.answered(answers, seconds)
        if _LOG.isEnabledFor(logging.DEBUG):
            _tell_all(answers, seconds)
        if self._served is not None:
            types = bundle.facts.types
            because = "; ".join(troubles) if troubles else ""
            for each, answer in zip(asked, answers, strict=True):
                self._served(types, each.facts, each.row, answer, seconds, because)

    @staticmethod
    def _entity(deployed: Deployed, question: Question[T]) -> Sequence[Any]:
        """What a canary's share is chosen by: the entity of the first row."""
        bundle = deployed.bundle
        facts = question.facts(bundle)
        if not facts:
            return question.asked(bundle)[0].row
        together = bundle.output.together  # what the rows of one list or forecast share
        return entity_of(deployed.policy.entity or together or bundle.fitted.feature_set.spine.key, facts[0])

    def _shadow(self, deployed: Deployed, question: Question[T]) -> None:
        if deployed.shadow is not None and not deployed.shadow.breaker.is_open:
            self._later(self._ask_shadow(deployed.shadow, question))

    async def _ask_shadow(self, version: Version, question: Question[T]) -> None:
        await self._asked("shadow", version, question, self._clock(), [SHADOWED])

    def _probe(self, version: Version, question: Question[T]) -> None:
        if version.breaker.wants_probe():
            self._later(self._ask_probe(version, question))

    async def _ask_probe(self, version: Version, question: Question[T]) -> None:
        """Ask an open version in a process of its own, for nobody; its first start may take longer."""
        breaker, good = version.breaker, False
        try:
            asked = question.asked(version.bundle)[:1]
            await version.isolated(asked, max(30.0, breaker.deadline))  # starts the process
            started = self._clock()
            await version.isolated(asked, breaker.deadline)
            good = self._clock() - started <= breaker.deadline
        except TimeoutError:
            pass
        except Exception as error:  # noqa: BLE001  (nobody waits for a probe; the log has it)
            self._tell(version, error)
        finally:
            breaker.probed(good=good)
        if not breaker.is_open:
            version.end_probing()

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        """Do work after the answer was written; too much of it is dropped."""
        if len(self._tasks) >= MOST_SHADOWS:
            work.close()
            self.shadows_dropped += 1
            return
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _tell(self, version: Version, error: Exception) -> None:
        """Log an error of a model, at most once in a while: it may come with every request."""
        release, now = version.bundle.release, self._clock()
        name = f"{release.use_case} version {release.version}"
        if now - self._logged.get(name, -QUIET) >= QUIET:
            self._logged[name] = now
            told = {"use_case": release.use_case}
            _LOG.error("%s failed, another link answers", name, exc_info=error, extra=told)


def _tell_all(answers: Sequence[Answer], seconds: float) -> None:
    for each in answers:
        told = {"use_case": each.use_case, "prediction_id": each.prediction_id}
        _LOG.debug("version %d answered as %s in %.6f s", each.version, each.link, seconds, extra=told)
