"""For learning: lessons, exercises, the lab, and servers that lack what imgpool has. Imports pool and imaging only."""
