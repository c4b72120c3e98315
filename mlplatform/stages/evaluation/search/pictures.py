"""The pictures of a search, as values: how it went on, and which parameters mattered. It must not draw."""

from mlplatform.stages.evaluation.metrics import metric_named
from mlplatform.stages.evaluation.search.found import DECLARED, Found
from mlplatform.stages.evaluation.values import Bar, Line, Picture


def history(found: Found) -> Picture:
    """The value of every complete trial, the best so far, and the declared parameters as reference."""
    tried = [(trial.number, trial.value) for trial in found.trials[1:] if trial.value is not None]
    last, lines = float(max(1, found.trials[-1].number)), []
    if tried:
        numbers, values = zip(*((float(number), value) for number, value in tried), strict=True)
        so_far = _best_so_far(values, found)
        reached = Line("best so far", (*numbers, last), (*so_far, so_far[-1]), f"{so_far[-1]:.4f}")
        lines = [
            reached,
            Line("complete trials", numbers, values, markers=True),
        ]
    declared = found.declared.value
    level = [] if declared is None else [Line(f"declared {declared:.4f}", (1.0, last), (declared, declared))]
    higher = metric_named(found.metric).higher_is_better
    return Picture(
        title=f"Search: {found.count('complete')} trials complete, {found.count('pruned')} given up, "
        f"{found.count('failed')} failed",
        x_label="trial",
        y_label=f"{found.metric}, mean over folds",
        lines=tuple(lines),
        references=tuple(level),
        ticks=_whole(int(last)),
        key="lower right" if higher else "upper right",
    )


def importance(found: Found) -> Picture:
    """How much of the variation each parameter explains, with the value the best trial has."""
    best = found.best.params if found.best.number != DECLARED else {}
    return Picture(
        title=f"What {found.metric} depends on in the space searched",
        x_label="share of the variation (fANOVA)",
        bars=tuple(
            Bar(name, share, f"{share:.2f}" + (f", best {_short(best[name])}" if name in best else ""))
            for name, share in found.importance.items()
        ),
    )


def _best_so_far(values: tuple[float, ...], found: Found) -> tuple[float, ...]:
    choose = max if metric_named(found.metric).higher_is_better else min
    return tuple(choose(values[: end + 1]) for end in range(len(values)))


def _whole(last: int) -> tuple[tuple[float, str], ...]:
    """Some numbers of trials, for the axis."""
    step = max(1, round(last / 8))
    return tuple((float(number), str(number)) for number in sorted({1, *range(step, last + 1, step)}))


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
