"""Signatures of pushed messages, under the name that receivers know; see `crosscutting/signature.py`."""

from mlplatform.crosscutting.signature import ID, SIGNATURE, TIMESTAMP, TOLERANCE, Secret, check_id, verify

__all__ = ["ID", "SIGNATURE", "TIMESTAMP", "TOLERANCE", "Secret", "check_id", "verify"]
