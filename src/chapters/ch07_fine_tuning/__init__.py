"""Chapter 7: does a small adapter store less than all weights do?"""
