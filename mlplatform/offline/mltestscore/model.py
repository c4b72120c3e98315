"""Evidence of the tests for model development. It must not judge by anything but what a deployment holds."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import polars as pl

from mlplatform.offline import provenance
from mlplatform.offline.mltestscore.home import Home
from mlplatform.offline.mltestscore.results import Found, absent, broken, by_command, of_checks, says
from mlplatform.stages.deployment import gate
from mlplatform.stages.evaluation.slices import figure_name
from mlplatform.stores.proofs import STALENESS


def reviewed(home: Home) -> Found:
    """1: the champion was made from a commit, and the commits of its use case name a reviewer."""
    check, champion = "candidate: commit; git: Reviewed-by", home.champion
    candidate = home.candidate(champion.digest) if champion else None
    if candidate is None:
        return absent(check, f"mlplatform run {home.declared.name}")
    made, folder = candidate.metadata, home.declared.folder
    at = datetime.fromisoformat(made.created_at).astimezone(UTC) if made.created_at else None
    if not made.commit:
        return broken(
            check,
            f"{folder} was in no git repository when the model was trained",
            "Commit the use case, then train again.",
            at,
        )
    code = provenance.Code(made.commit, made.dirty)
    if made.dirty:
        return broken(check, f"the model was trained from {code}", "Commit them, then train again.", at)
    who = provenance.reviewers(folder, made.commit)
    if not who:
        return Found(
            "documented",
            check,
            f"checked in as {code}; no commit says who reviewed it",
            at,
            "Have changes reviewed, and end their commit messages with `Reviewed-by: Name <mail>`.",
        )
    return Found("held", check, f"checked in as {code}, reviewed by {', '.join(who)}", at)


def metrics_correlate(home: Home) -> Found:
    """2: what a score brings is known to nobody here; what offline and online figures say is shown."""
    said = (
        "the platform is not told what a score is worth to people or business, so nothing correlates with it"
    )
    days, champion = home.rows("performance"), home.champion
    figure = home.declared.config.champion.metric
    if days is not None and champion is not None and figure in days.columns:
        known = days.filter(pl.col("n") > 0, pl.col(figure).is_not_null())
        offline = champion.figures.get(f"test_{figure}")
        if known.height and offline is not None:
            online = float((known[figure] * known["n"]).sum()) / int(known["n"].sum())
            said += (
                f". Only the figure itself is compared: {figure} {offline:.4f} offline, {online:.4f} since"
            )
    return broken("", said, "Compare releases with the figure your users care about, and write it down.")


def tuned(home: Home) -> Found:
    """3: the champion's parameters come from a search over all of them that are declared."""
    champion, config = home.champion, home.declared.config
    if champion is None:
        return absent("search_<model>", f"mlplatform run {home.declared.name}")
    check, model = f"search_{champion.model}", config.models.get(champion.model)
    if model is None:
        return broken(check, f"the champion's model {champion.model} is not declared any more", "Declare it.")
    if model.search is None:
        told = ", ".join(_flat(model.params)) or "none is set"
        return broken(
            check,
            f"nothing searched the parameters of {champion.model} ({told})",
            f"Declare `models.{champion.model}.search:` in defs.yaml.",
        )
    trials = home.rows(check, champion.as_of)
    if trials is None:
        return absent(check, f"mlplatform run {home.declared.name}")
    complete = trials.filter(pl.col("state") == "complete")
    best = trials.filter("best").row(0, named=True)
    made = home.made(check, champion.as_of)
    said = (
        f"{complete.height} trials of {', '.join(model.search.space)}; best {best['metric']} "
        f"{best['value']:.4g}"
    )
    fixed = [name for name in _flat(model.params) if name not in model.search.space]
    if fixed:
        return Found(
            "documented",
            check,
            f"{said}; set by hand: {', '.join(fixed)}",
            made,
            f"Add {', '.join(fixed)} to `search.space`, or leave them at their defaults.",
        )
    return Found("held", check, said, made)


def staleness_known(home: Home) -> Found:
    """4: the champion's model was trained again for later dates and compared with the one that was not."""
    champion = home.champion
    model = champion.model if champion else ""
    return by_command(
        home,
        STALENESS,
        "retrain",
        f"mlplatform retrain {home.declared.name} --from DAY --to DAY",
        lambda proof: proof.figures["said"],
        that=lambda proof: proof.figures.get("model") == model,
    )


def simpler(home: Home) -> Found:
    """5: the winner beats the models it is to beat on the test rows."""
    config = home.declared.config
    beaten = [name for name in config.champion.beat if name in config.models]
    return of_checks(
        home,
        [*(("champion", f"better_than_{name}") for name in beaten), ("package", gate.BASELINES)],
        lambda found: str(found[-1].figures["found"]),
        "Take the simpler model, or find out what the other one gets wrong: mlplatform candidates "
        f"{home.declared.name}",
        that=says,
    )


def sliced(home: Home) -> Found:
    """6: on no declared slice is the champion worse than allowed, on the test rows."""
    config, champion = home.declared.config, home.champion
    rule, check = config.champion.rule, "evaluation: slices"
    if not config.slices:
        return broken(
            check, "no slices are declared", "Declare `slices:` in defs.yaml (columns that matter)."
        )
    if champion is None:
        return absent(check, f"mlplatform run {home.declared.name}")
    mine = home.evaluated(champion.model, champion.as_of, "test", champion.digest)
    start = figure_name(rule.metric, "", "").removesuffix("=]")
    slices = {name: value for name, value in mine.items() if name.startswith(start)}
    if not slices:
        return absent(check, f"mlplatform run {home.declared.name}", "no slice has rows enough for a figure")
    at = home.made(f"evaluation_{champion.model}", champion.as_of)
    rival = next((name for name in rule.beat if name in config.models), "")
    theirs = home.evaluated(rival, champion.as_of, "test") if rival else {}
    losses = {name: -rule.gain(value, theirs[name]) for name, value in slices.items() if name in theirs}
    if rule.slice_tolerance is None or not losses:
        worst = min(slices, key=lambda name: (rule.gain(slices[name], 0.0), name))
        said = (
            f"{len(slices)} slices have a figure, worst {worst} {slices[worst]:.4f}; no model is held to one"
        )
        return Found(
            "documented",
            check,
            said,
            at,
            "Declare champion.slice_tolerance, and a declared model in champion.beat.",
        )
    worst = max(losses, key=lambda name: (losses[name], name))
    said = (
        f"{len(losses)} slices; against {rival} the worst is {worst}, {losses[worst]:+.4f} worse, at most "
        f"{rule.slice_tolerance:.4f} is allowed"
    )
    if losses[worst] > rule.slice_tolerance:
        return broken(
            check, said, "Find out what is special there: mlplatform candidates, the Dagster UI.", at
        )
    return Found("held", check, said, at)


def inclusion(home: Home) -> Found:
    """7: there is no check of this: which groups of people matter is for people to say."""
    columns = ", ".join(slicing.column for slicing in home.declared.config.slices) or "none"
    said = f"nothing says which columns tell groups of people apart (slices are judged by: {columns})"
    return broken("", said, "Look at who may be wronged by a score, and write down what you found.")


def _flat(params: Mapping[str, Any]) -> list[str]:
    """Names of parameters as a search names them: `params.alpha` is `alpha` within the parameter `params`."""
    return [
        name
        for key, value in params.items()
        for name in ([f"{key}.{inner}" for inner in value] if isinstance(value, dict) else [key])
    ]
