"""The report of one window of drift as files: figures as JSON, and what Evidently's page is made of.

The page itself is megabytes and takes seconds: the scoring service has it made when somebody asks for it. It
must not compute a figure.
"""

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from mlplatform.crosscutting.evidently_report import SNAPSHOT, EvidentlyResult, report
from mlplatform.crosscutting.settings import Settings
from mlplatform.offline.declared import Declared
from mlplatform.offline.drift_windows import Window
from mlplatform.stores.files import write_atomically


def page_of(declared: Declared, window: Window) -> str:
    """The file of a window's report that people look at: Evidently's page, or else the figures."""
    return f"{window.file}.{'html' if declared.config.drift.report else 'json'}"


@dataclass(frozen=True)
class Files:
    """Writes the reports of a use case."""

    declared: Declared
    settings: Settings
    days: tuple[str, str]
    """First and last day of the reference."""

    def write(
        self,
        window: Window,
        figures: pl.DataFrame,
        sentence: str,
        reference: pl.DataFrame,
        current: pl.DataFrame,
    ) -> Path:
        """Write the report of a window anew; where its JSON is.

        Parameters
        ----------
        figures : own figures, a row per feature; `sentence` says what they come to
        reference, current : the rows that are compared, with the features that `drift.report` names

        Raises
        ------
        StoreError
            if the disk refuses.
        """
        shown = self.declared.config.drift.report
        evidently = self._evidently(reference, current) if shown else None
        told: dict[str, Any] = {
            "use_case": self.declared.name,
            "first": str(window.first),
            "last": str(window.last),
            "reference": {"first": self.days[0], "last": self.days[1]},
            "sentence": sentence,
            "figures": figures.to_dicts(),
            "evidently": json.loads(evidently.json) if evidently else None,
        }
        folder = self.settings.reports / self.declared.name
        if evidently:
            packed = gzip.compress(evidently.snapshot, mtime=0)
            write_atomically(folder / f"{window.file}{SNAPSHOT}", packed)
            (folder / f"{window.file}.html").unlink(missing_ok=True)  # it is that of other figures
        return write_atomically(folder / f"{window.file}.json", json.dumps(told).encode())

    def url(self, window: Window) -> str:
        """Where the service shows it to people."""
        name = self.declared.name
        return f"{self.settings.scoring_url}/reports/{name}/{page_of(self.declared, window)}"

    def _evidently(self, reference: pl.DataFrame, current: pl.DataFrame) -> EvidentlyResult:
        shown, feature_set = self.declared.config.drift.report, self.declared.feature_set
        texts = (*feature_set.categories, *feature_set.target_rates)
        categorical = [name for name in shown if name in texts]
        numerical = [name for name in shown if name not in categorical]
        return report(reference, current, numerical=numerical, categorical=categorical)
