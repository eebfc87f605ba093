"""Frequency-domain waves: the Helmholtz operator by spectral elements and a direct solver, with exact derivatives.

`mesh` is one direction of the mesh and `choice` how fine it is; `blocks` are the matrix between groups of unknowns and
`condensation` is the direct solver; `solver` is one frequency with its derivatives, `operator` the forward operator
that the chapters call, `invalid` its guard for samplers.
"""

from memprior.waves.helmholtz.invalid import FreezeInvalid
from memprior.waves.helmholtz.operator import HelmholtzOperator

__all__ = ["FreezeInvalid", "HelmholtzOperator"]
