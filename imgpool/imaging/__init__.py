"""From an original to its variants: formats, recipe, pipeline, sandbox.

Importing this package, or its `formats`, `model`, `recipe` and `sandbox`, never imports PIL: the web process stays
without a C decoder. Only `pipeline` (with `decode`, `colour`, `resize`, `encode`) does.
"""
