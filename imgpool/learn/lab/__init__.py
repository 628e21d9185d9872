"""The lab of the /learn page: small programs run on the real pool, and told step by step as they really went.

One experiment is one child process, which lives for seconds and ends by itself, behind limits of time and memory: the
uploads that this server is there for share a machine with it, and nothing else. Read in this order. Asking for a run:
experiment, line, process. In the child: child, limits, record, witness, work, figures; what is run is in `programs`.
"""
