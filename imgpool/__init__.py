"""imgpool: an image upload service on a bounded worker pool."""

__version__ = "0.1.0"
