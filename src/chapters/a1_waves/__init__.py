"""Appendix A1: the wave operators, checked."""
