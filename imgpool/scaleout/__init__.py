"""The same service on many machines: records in PostgreSQL, files on S3, image IDs carried by Celery.

Nothing here is imported, and nothing that it needs installed, without the extra `imgpool[scaleout]`.
"""
