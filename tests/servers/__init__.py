"""Real servers that tests start on loopback, each ended by its own process ID."""
