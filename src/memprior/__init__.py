"""The science of memorized priors: what the chapters of *Priors That Remember* compute with.

Read the modules in the order of their levels; each imports only from the levels above it:

level 0   ``noise``  ``mixture``  ``fields``  ``memorization``  ``operators``
level 1   ``denoiser``  ``likelihood``
level 2   ``sampling``  ``posterior``
level 3   ``experiments``  ``figures``

Symbols, everywhere: B batch, d model size, m data size, K components or training examples.
Device and dtype follow the input; randomness is a keyword-only ``generator``. Numbers are drawn where it lives and
moved to where they are used: one of the CPU gives every device the same numbers, one of a GPU gives its own.
"""
