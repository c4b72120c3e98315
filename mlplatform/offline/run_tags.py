"""Tags of Dagster runs: what a run is told or says of itself, apart from its assets."""

PROCESS_TAG = "mlplatform/process"
"""Process id of a foreground run: the mark by which runs whose process was killed are found."""
TRIGGER_TAG = "mlplatform/trigger"
"""What started a training: schedule, features-generated, drift or changed."""
REASON_TAG = "mlplatform/reason"
"""The same in a sentence."""
