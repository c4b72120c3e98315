"""The scoring service without a transport: a use case and facts in, an answer out.

No lock and no thread hop is on the way: a request reads the reference to what is deployed and is answered by
one version of that alone. It must not know HTTP; it raises RequestError with the status an HTTP face should
use.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from mlplatform.errors import RequestError
from mlplatform.online import by_entity, listing, question
from mlplatform.online.bundle import Bundle, OnServed
from mlplatform.online.chain import Chain
from mlplatform.online.deployed import Deployed
from mlplatform.online.facts import Facts
from mlplatform.online.inference import InferRequest, InferResponse, Tensors
from mlplatform.online.question import Question, T
from mlplatform.online.releases import Releases
from mlplatform.online.replies import shown
from mlplatform.stages.scoring.score import Answer, Listing


class ScoringService:
    """Answers from what is deployed in `releases.current`; to be used from one thread.

    Parameters
    ----------
    served : is told of every answer.
    settled : waits until what was served is in the Score Data Store, for use cases that ask for it.
    """

    def __init__(
        self,
        releases: Releases,
        served: OnServed | None = None,
        settled: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.releases, self.chain, self._settled = releases, Chain(served), settled

    def deployed(self, use_case: str) -> Deployed:
        """What is in use of a use case; RequestError 404 if it is unknown, 503 before the first release."""
        deployed = self.releases.current.get(use_case)
        if deployed is None:
            raise self._absent(use_case)
        return deployed

    def bundle(self, use_case: str, version: str | None = None) -> Bundle:
        """The bundle of a version, or of the champion; RequestError as `deployed`, or 404."""
        deployed = self.deployed(use_case)
        return deployed.bundle if version is None else deployed.version(version).bundle

    def score(self, use_case: str, facts: Mapping[str, Any]) -> Answer:
        """The champion's score for one row's facts as Python values; for use as a library, without the chain.

        Raises
        ------
        RequestError
            as `deployed`, or 400 for facts that are wrong.
        """
        champion = self.deployed(use_case).champion
        return self.chain.alone(champion, champion.bundle.facts.convert(facts))

    async def score_json(
        self, use_case: str, body: bytes, version: str | None = None
    ) -> Answer | Listing | list[Answer]:
        """The score for one row's facts as a JSON object, or for `{"entity": {…}}` whose facts are known.

        A JSON array gives the answers of its rows, or one ranked list of alternatives; facts that leave out
        of which moment a forecast is give the whole forecast.

        Raises
        ------
        RequestError
            400 for a question that is wrong, 404 for an unknown use case, version or entity, 503 if nobody
            can answer.
        """
        deployed = self.deployed(use_case)
        if question.is_list(body):
            if deployed.bundle.output.kind == "ranked_list":
                return await self._answer(deployed, listing.ranked(body), version)
            return await self._answer(deployed, question.several(body), version)

        def read(bundle: Bundle) -> Facts:
            return by_entity.facts_of(bundle, body)

        time = deployed.bundle.output.time
        if time and read(deployed.bundle)[time] is None:
            return await self._answer(deployed, listing.forecast(read), version)
        return await self._answer(deployed, question.one(read), version)

    async def infer(self, use_case: str, request: InferRequest, version: str | None = None) -> InferResponse:
        """The scores of the rows of an Open Inference Protocol request, all by one version.

        Raises
        ------
        RequestError
            as `score_json`, or for tensors that do not fit, or if one row cannot be answered.
        """
        return await self._answer(self.deployed(use_case), Tensors(request), version)

    async def _answer(self, deployed: Deployed, asked: Question[T], version: str | None = None) -> T:
        answer = await self.chain.answer(deployed, asked, version)
        if self._settled is not None and deployed.policy.log == "sync":
            await self._settled()
        return answer

    def _absent(self, use_case: str) -> RequestError:
        releases = self.releases
        if use_case in releases.known:
            return RequestError(releases.problems.get(use_case, "It is being loaded."), status=503)
        if releases.trouble:
            return RequestError(releases.trouble, status=503)
        known = ", ".join(releases.known) or "none yet"
        return RequestError(
            f"got use case {shown(use_case)}; known: {known}.",
            status=404,
            hint="A use case is known once it has a candidate.",
        )
