"""The scoring service without a transport: a use case and facts in, an answer out.

No lock and no thread hop is on the way: a request reads the reference to one bundle and is answered by that
one alone. It must not know HTTP; it raises RequestError with the status an HTTP face should use.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from mlplatform.errors import RequestError
from mlplatform.online import inference, listing
from mlplatform.online.bundle import Bundle, OnServed
from mlplatform.online.inference import InferRequest, InferResponse
from mlplatform.online.releases import Releases
from mlplatform.online.replies import shown
from mlplatform.stages.scoring.score import Answer, Listing

BREATH = 32
"""Rows of one request after which others get their turn."""


class ScoringService:
    """Answers from the bundles in `releases.current`; to be used from one thread. `served` logs answers."""

    def __init__(self, releases: Releases, served: OnServed | None = None) -> None:
        self.releases, self._served = releases, served

    def bundle(self, use_case: str, version: str | None = None) -> Bundle:
        """The bundle that answers for a use case.

        Raises
        ------
        RequestError
            404 for an unknown use case or a version that is not in use, 503 before the first release.
        """
        bundle = self.releases.current.get(use_case)
        if bundle is None:
            raise self._absent(use_case)
        if version is not None and version != str(bundle.release.version):
            raise RequestError(
                f"got version {shown(version)} of {use_case!r}; in use: {bundle.release.version}.", status=404
            )
        return bundle

    def score(self, use_case: str, facts: Mapping[str, Any]) -> Answer:
        """The score for one row's facts as Python values, as `json` would give them."""
        bundle = self.bundle(use_case)
        return bundle.answer(bundle.facts.convert(facts), self._served)

    def score_json(self, use_case: str, body: bytes) -> Answer | Listing:
        """The score for one row's facts as a JSON object.

        A JSON array of alternatives gives a ranked list, and facts that leave out of which moment a forecast
        is give the whole forecast.
        """
        bundle = self.bundle(use_case)
        if listing.is_list(body):
            return listing.ranked(bundle, body, self._served)
        facts, time = bundle.facts.json(body), bundle.output.time
        if time and facts[time] is None:
            return listing.forecast(bundle, facts, self._served)
        return bundle.answer(facts, self._served)

    async def infer(self, use_case: str, request: InferRequest, version: str | None = None) -> InferResponse:
        """The scores of the rows of an Open Inference Protocol request, all by one bundle.

        Raises
        ------
        RequestError
            as `bundle`, or for tensors that do not fit, or if one row cannot be answered.
        """
        bundle = self.bundle(use_case, version)
        wanted = inference.wanted_outputs(bundle, request)
        questions = inference.read_rows(bundle, request, self._served)
        answers: list[Answer] = []
        for place, ask in enumerate(questions):
            if place and place % BREATH == 0:
                await asyncio.sleep(0)
            try:
                answers.append(ask())
            except RequestError as error:
                raise RequestError(f"row {place}: {error}", status=error.status, hint=error.hint) from error
        return inference.response(bundle, request, answers, wanted)

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
