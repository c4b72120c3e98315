"""The rows of an infer request as a question: rows of facts, or of ready-made features.

It must not know HTTP, nor which release answers.
"""

from mlplatform.errors import RequestError
from mlplatform.online.bundle import Asked, Bundle
from mlplatform.online.facts import Facts
from mlplatform.online.inference.request import FEATURES, InferRequest, Tensor
from mlplatform.online.inference.response import InferResponse, response, wanted_outputs
from mlplatform.online.inference.tensors import fact_values, feature_rows, row_count
from mlplatform.online.question import Rows
from mlplatform.online.replies import shown
from mlplatform.stages.scoring.score import Answer


class Tensors(Rows[InferResponse]):
    """The question of an infer request."""

    def __init__(self, request: InferRequest) -> None:
        super().__init__(self._fact_rows, self._response)
        self._request = request
        self._tensors = {tensor.name: tensor for tensor in request.inputs}
        if len(self._tensors) < len(request.inputs) or not self._tensors:
            raise RequestError(
                f"got {len(request.inputs)} inputs of {len(self._tensors)} names; allowed: one or more, each "
                "name once."
            )

    def facts(self, bundle: Bundle) -> list[Facts]:
        """The facts of every row; none where features were given."""
        return [] if self._ready_made(bundle) else super().facts(bundle)

    def asked(self, bundle: Bundle) -> list[Asked]:
        """What the model sees of every row; RequestError 400 for tensors that do not fit the use case."""
        wanted_outputs(bundle, self._request)
        if not self._ready_made(bundle):
            return super().asked(bundle)
        if len(self._tensors) > 1:
            raise RequestError(
                f"got {FEATURES!r} and {len(self._tensors) - 1} more inputs; it must be the only one."
            )
        rows = feature_rows(self._tensors[FEATURES], len(bundle.names))
        return [bundle.asked_features(row) for row in rows]

    def _ready_made(self, bundle: Bundle) -> bool:
        return FEATURES in self._tensors and FEATURES not in bundle.facts.types

    def _response(self, bundle: Bundle, facts: list[Facts], answers: list[Answer]) -> InferResponse:
        return response(bundle, self._request, answers, wanted_outputs(bundle, self._request))

    def _fact_rows(self, bundle: Bundle) -> list[Facts]:
        facts, tensors = bundle.facts, self._tensors
        _check_names(bundle, tensors)
        rows = {row_count(tensor) for tensor in tensors.values()}
        if len(rows) > 1:
            raise RequestError(
                f"got inputs of {' and '.join(map(str, sorted(rows)))} rows; all must be the same."
            )
        (n,) = rows
        columns = [
            facts.column(name, fact_values(tensors[name], kind)) if name in tensors else [None] * n
            for name, kind in facts.types.items()
        ]
        return [dict(zip(facts.names, row, strict=True)) for row in zip(*columns, strict=True)]


def _check_names(bundle: Bundle, tensors: dict[str, Tensor]) -> None:
    facts = bundle.facts
    if unknown := [name for name in tensors if name not in facts.types]:
        raise RequestError(
            f"got input {shown(unknown[0])}; allowed: {', '.join(facts.names)}, or one tensor {FEATURES!r}."
        )
    if missing := [name for name in facts.required if name not in tensors]:
        raise RequestError(f"input {missing[0]!r} is missing; required: {', '.join(facts.required)}.")
