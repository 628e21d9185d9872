"""The same service over more than one machine: PostgreSQL keeps the records, S3 the files, Celery carries image IDs.

Replaces the three seams of `imgpool.service` and nothing else. Imported only when its settings are given, because what
it needs is installed only with the extra `imgpool[scaleout]`.
"""
