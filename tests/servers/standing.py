"""Which child processes are servers that stay for all tests: the one that happened to start them is not blamed."""

STANDING: set[int] = set()  # their pids: whoever starts or ends one keeps this right
