"""Two upload servers as people write them before they have met a flood: to be run beside imgpool and compared.

They take the same images, make the same variants with the same pipeline, and answer the same three routes. They
are honest work and fine for ten visitors; what they lack is a bound. Run one as
`python -m imgpool.learn.doubles.thread_per_upload --port 8001 --data-dir /tmp/d --memory-bytes 512MiB`.
"""
