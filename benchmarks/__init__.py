"""How fast the library is, and what its tests see, beside a reference: ``python -m benchmarks.NAME``."""
