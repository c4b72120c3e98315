"""Answers that were batch scores given again: the questions of those batch scores.

It must not know how a question is looked up; `rows.py` does.
"""

import polars as pl

from mlplatform.stores.scores_by_id import SCORES
from mlplatform.stores.served import column_of
from mlplatform.stores.tracing.origin import Origin, Trained
from mlplatform.stores.tracing.rows import Question, look

_AT = "_answer"


def batch_scores(origin: Origin, trained: Trained, rows: pl.DataFrame) -> list[Question]:
    """Per answer the question of the batch score it gave; an empty one where that is not kept."""
    questions = [Question() for _ in range(rows.height)]
    key = list(trained.fitted.feature_set.spine.key)
    if not origin.columns(SCORES) or not all(column_of(name) in rows.columns for name in key):
        return questions
    versions = rows["version"].unique().to_list()
    listed = ", ".join(str(int(version)) for version in versions)
    scores = origin.lake.sql(f'SELECT * FROM "{origin.use_case}"."{SCORES}" WHERE version IN ({listed})')
    answers = rows.with_row_index(_AT).select(
        _AT,
        "version",
        "score",
        *(pl.col(column_of(name)).cast(scores[name].dtype).alias(name) for name in key),
    )
    given = answers.join(scores, on=[*key, "version", "score"], how="inner", maintain_order="left")
    given = given.unique(_AT, keep="first", maintain_order=True)
    if given.height:
        found = look(origin, trained, SCORES, given.drop(_AT))
        for at, question in zip(given[_AT], found, strict=True):
            questions[at] = question
    return questions
