"""Chapter 3: the posterior, linearized."""
