"""The heart of imgpool: admission, engine, records, files, recovery, retention. Knows nothing of HTTP."""

from imgpool.service.engine import Lane
from imgpool.service.records import STATES, Counts, ImageRecord, State, StoreBusy, StoreError, VariantRecord
from imgpool.service.service import Service
from imgpool.service.status import Status
from imgpool.service.upload import Upload

__all__ = [
    "STATES",
    "Counts",
    "ImageRecord",
    "Lane",
    "Service",
    "State",
    "Status",
    "StoreBusy",
    "StoreError",
    "Upload",
    "VariantRecord",
]
