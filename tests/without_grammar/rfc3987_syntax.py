"""Stands before the package of this name in the processes that tests start.

jsonschema, which nbformat imports, asks for it to check IRIs, and it builds its grammar on import: more than a second a
process. Nothing here has an IRI; without the package jsonschema goes on without that check.
"""

raise ImportError(__doc__)
