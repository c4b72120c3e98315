"""The lake as the trail reads it: queries on the connection that is open, as many are asked for one trail.

It must not be given a query of somebody else's: `Lake.sql` checks those, on a connection of their own.
"""

from collections.abc import Sequence

import polars as pl
import pyarrow as pa

from mlplatform.stores.lake import Lake
from mlplatform.stores.lake_sql import READER


class TrailLake(Lake):
    """A lake whose `sql` trusts its caller."""

    def sql(self, query: str, parameters: Sequence[object] = ()) -> pl.DataFrame:
        """Answer one SELECT over the lake's tables, named `schema.table`; see `Lake.sql`.

        Raises
        ------
        NotFound
            if there is no lake yet.
        StoreError
            if DuckDB refuses the query.
        """
        with self._reading("the trail") as cursor:
            cursor.execute(f"USE {READER}")
            rows: pa.Table = cursor.execute(query, list(parameters)).to_arrow_table()
        return pl.DataFrame(rows)
