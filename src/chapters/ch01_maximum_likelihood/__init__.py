"""Chapter 1: maximum likelihood finds the training set."""
