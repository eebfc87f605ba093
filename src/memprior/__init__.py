"""The science of memorized priors: what the chapters of *Priors That Remember* compute with.

Two wings: priors and posteriors (``mixture``, ``gaussian``, ``denoiser``, ``likelihood``, ``sampling``,
``posterior``, ``guidance``, ``memorization``, ``calibration``) and ``waves``. ``paper`` has everything that is
published, once. Who may import whom stands in pyproject.toml, as contracts of import-linter, and nowhere else.

Symbols, everywhere: B batch, d model size, m data size, K components or training examples.
Device and dtype follow the input; randomness is a keyword-only ``generator``. Numbers are drawn where it lives and
moved to where they are used: one of the CPU gives every device the same numbers, one of a GPU gives its own.
"""
