"""B1: bring your own models, operator and data. See notebooks/b1_bring_your_own."""
