"""What the lab runs: each file is shown on the page as it is, and has a `main` that takes an `Experiment`."""
