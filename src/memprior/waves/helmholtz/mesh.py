"""One direction of the spectral-element mesh: nodes, weights, stiffness, and the way onto and off it.

    element of length h, order p:  Gauss-Lobatto nodes x_i and weights w_i on [-1, 1], nodal polynomials phi_i
    mass       M_ij = int phi_i phi_j     ~ (h / 2) w_i delta_ij       (quadrature at the nodes: diagonal)
    stiffness  K_ij = int phi_i' phi_j'   = (2 / h) sum_k w_k phi_i'(x_k) phi_j'(x_k)

The absorbing layer begins at the faces of the model: elements whose length h is complex. On the path x = h t an
outgoing wave exp(i k x) decays as exp(-k Im(h) t) and stays analytic, so that one element takes it up; u = 0 at its end
(perfectly matched layer with a constant stretch; Collino and Monk 1998 for the coordinate).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np


def gauss_lobatto(order: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes on [-1, 1], ends included, and weights, (order + 1,) each: exact for polynomials of degree 2 order - 1."""
    legendre = np.polynomial.legendre.Legendre.basis(order)
    nodes = np.concatenate([[-1.0], np.sort(legendre.deriv().roots().real), [1.0]])
    return nodes, 2 / (order * (order + 1) * legendre(nodes) ** 2)


def lagrange(nodes: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Nodal polynomials of ``nodes`` (n,) at ``points`` (k, ...): (k, ..., n)."""
    differences = np.asarray(points)[..., None] - nodes
    gaps = nodes[:, None] - nodes + np.eye(len(nodes))
    others = [np.delete(differences, j, -1).prod(-1) for j in range(len(nodes))]
    return np.stack(others, -1) / gaps.prod(1)


def reference_stiffness(order: int) -> np.ndarray:
    """int phi_i' phi_j' over [-1, 1], (order + 1, order + 1)."""
    nodes, weights = gauss_lobatto(order)
    slopes = np.stack([np.polynomial.Polynomial.fit(nodes, e, order).deriv()(nodes) for e in np.eye(order + 1)], 1)
    return (slopes.T * weights) @ slopes


@dataclass(frozen=True)
class Axis:
    """``num_elements`` equal elements on [0, length_km], with ``num_layers`` elements of complex length on each side.

    Nodes are numbered from the outer end of the first layer to that of the last, all of them, ends included; in the
    layers a node's place in the model is the face.
    """

    length_km: float
    num_elements: int
    order: int
    layer_km: complex
    num_layers: int = 1

    @property
    def num_all(self) -> int:
        """Elements, layers included."""
        return self.num_elements + 2 * self.num_layers

    @property
    def num_nodes(self) -> int:
        return self.num_all * self.order + 1

    @property
    def element_km(self) -> float:
        return self.length_km / self.num_elements

    @cached_property
    def weights(self) -> np.ndarray:
        """Quadrature weight of each node, (num_nodes,), complex in the layers, km."""
        reference, total = gauss_lobatto(self.order)[1], np.zeros(self.num_nodes, complex)
        for here, length in self._elements():
            total[here] += length / 2 * reference
        return total

    @cached_property
    def stiffness(self) -> np.ndarray:
        """int phi_i' phi_j' along the complex path, (num_nodes, num_nodes), 1/km."""
        reference, total = reference_stiffness(self.order), np.zeros((self.num_nodes, self.num_nodes), complex)
        for here, length in self._elements():
            total[here, here] += 2 / length * reference
        return total

    def _elements(self):
        for index in range(self.num_all):
            inside = self.num_layers <= index < self.num_layers + self.num_elements
            start = index * self.order
            yield slice(start, start + self.order + 1), self.element_km if inside else self.layer_km

    def element_of(self, points_km) -> np.ndarray:
        """The element that holds each point of [0, length_km], layers not counted."""
        return np.clip((np.asarray(points_km) / self.element_km).astype(int), 0, self.num_elements - 1)

    def basis(self, points_km) -> np.ndarray:
        """Nodal polynomials at points of [0, length_km], (points, num_nodes): what a point source or receiver does."""
        points, element = np.asarray(points_km, float), self.element_of(points_km)
        local = lagrange(gauss_lobatto(self.order)[0], 2 * (points / self.element_km - element) - 1)
        columns = (element[:, None] + self.num_layers) * self.order + np.arange(self.order + 1)
        result = np.zeros((len(points), self.num_nodes))
        np.put_along_axis(result, columns, local, 1)
        return result

    def from_cells(self, num_cells: int, spacing_km: float) -> np.ndarray:
        """(num_nodes, num_cells): nodal values of a model given at cell centers.

        m_i = int phi_i m / int phi_i, with m the piecewise cubic through the four nearest centers (fewer where there
        are fewer cells), carried on to the face: where cells are coarser than the nodes it interpolates, where they
        are finer it averages, so that no cell is ever missed. Exact for cubics in either case, from order 4 on. In the
        layers: the face's value.
        """
        centers = (np.arange(num_cells) + 0.5) * spacing_km
        breaks = np.unique(np.concatenate([centers, np.linspace(0, self.length_km, self.num_elements + 1)]).round(12))
        abscissae, gauss = np.polynomial.legendre.leggauss(self.order // 2 + 3)  # exact: degree order + 3
        half = np.diff(breaks)[:, None] / 2
        points, mass = (breaks[:-1, None] + half * (abscissae + 1)).ravel(), (half * gauss).ravel()
        stencil = min(4, num_cells)
        first = np.clip(np.floor(points / spacing_km - 0.5).astype(int) - 1, 0, num_cells - stencil)
        cubic = np.zeros((len(points), num_cells))
        local = lagrange(np.arange(float(stencil)), points / spacing_km - 0.5 - first)
        np.put_along_axis(cubic, first[:, None] + np.arange(stencil), local, 1)
        tests = self.basis(points) * mass[:, None]
        inside = slice(self.num_layers * self.order, self.num_nodes - self.num_layers * self.order)
        result = tests[:, inside].T @ cubic / tests[:, inside].sum(0)[:, None]
        return np.pad(result, ((self.num_layers * self.order,) * 2, (0, 0)), mode="edge")
