"""Batches: every delivered partition gets an id derived from its content.

The same content has the same id, whenever and however often it is delivered. It must not read or store.
"""

from hashlib import sha256

import polars as pl


def with_batch_ids(delivered: pl.DataFrame, data_set: str) -> pl.DataFrame:
    """The rows with a column `batch_id` (24 hexadecimal digits).

    The id is taken over data set, partition and the rows as CSV, in the order delivered. Rows without a
    column `partition_key` are one partition.
    """
    if "partition_key" not in delivered.columns:
        return delivered.with_columns(batch_id=pl.lit(_id(delivered, data_set, "")))
    parts = delivered.partition_by("partition_key", as_dict=True, maintain_order=True)
    ids = {str(key): _id(rows, data_set, str(key)) for (key,), rows in parts.items()}
    return delivered.with_columns(
        batch_id=pl.col("partition_key").replace_strict(ids, return_dtype=pl.String)
        if ids
        else pl.lit("", pl.String)
    )


def _id(rows: pl.DataFrame, data_set: str, partition: str) -> str:
    digest = sha256(f"{data_set}\n{partition}\n".encode())
    digest.update(rows.write_csv().encode())
    return digest.hexdigest()[:24]
