"""The experiments and figures of the book, one package a chapter. No chapter imports a chapter."""
