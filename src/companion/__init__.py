"""The making of the book: run the notebooks, record what they found, show sliders, build and check the site.

``record`` and ``frames`` are what notebooks call; ``run``, ``keys``, ``book`` and ``site`` are what ``python -m
companion`` calls. Nothing here knows any science, and nothing in ``memprior`` knows this package.
"""
