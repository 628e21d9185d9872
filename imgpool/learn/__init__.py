"""For learning: lessons, exercises, the lab, and servers that lack what imgpool has. Imports pool and imaging only.

Start with `imgpool.learn.catalogue`; the lessons are the programs in `lessons/`.
"""
