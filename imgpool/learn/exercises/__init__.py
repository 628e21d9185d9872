"""Exercises: programs to start from, and what is checked in the learner's.

`starters/` holds the programs; `judge` runs a solution in a child process (`child`), where `recorder` notes what its
channels and pools really did and `checks` looks at that. What a program prints is never believed alone.
"""
