"""Chapter 9: what dreams of facies networks read out. See notebooks/09_inception."""
