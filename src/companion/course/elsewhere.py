"""For an edition of some chapters, by :mod:`companion.theme`: what it names of the rest of the book is told in words.

The whole book is built with every reference checked; here one that leads to a chapter left out is plain text.
"""

import logging

from docutils import nodes

IN_BOOK = "the book"


def as_words(app, env, node, contnode):
    """The reference's own words, or that the book has it."""
    explicit = node.get("refexplicit") or node.get("reftype") in ("term", "obj", "mod", "func", "class", "meth", "attr")
    return contnode if explicit else nodes.inline("", IN_BOOK)


class _Known(logging.Filter):
    """sphinx-proof and sphinx-exercise warn of a label themselves, before anybody is asked."""

    def filter(self, record):
        return "label" not in (said := record.getMessage()) or "not found" not in said


def tell_in_words(app, config):
    """Connects :func:`as_words` where the configuration says ``some_chapters``."""
    if config.some_chapters:
        app.connect("missing-reference", as_words)
        for name in ("sphinx.sphinx_proof.domain", "sphinx.sphinx_exercise.post_transforms"):
            logging.getLogger(name).addFilter(_Known())
