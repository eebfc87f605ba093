"""Maps that several chapters draw: densities in the plane, velocity models."""

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes

from memprior.figures.style import DENSITY, INK, ORANGE, array


def density_map(ax: Axes, points, log_density, train_set, *, truth=None, title: str = "") -> Axes:
    """A 2-D density on a square grid (P, 2), with the training examples (K, 2) and the truth (2,) if there is one."""
    side = round(len(points) ** 0.5)
    grid = array(points.reshape(side, side, 2))
    density = array((log_density - log_density.max()).exp().reshape(side, side))
    ax.contourf(grid[..., 0], grid[..., 1], density, levels=np.linspace(0, 1, 21), cmap=DENSITY)
    ax.plot(*array(train_set.T), "o", ms=9, mfc="none", mec=INK, mew=1.2, label="training examples")
    if truth is not None:
        ax.plot(*array(truth), "*", ms=10, mfc=ORANGE, mec=INK, mew=0.7, label="truth")
    ax.set(
        xlim=(-2.9, 2.9),
        ylim=(-2.9, 2.9),
        xticks=[-2, 0, 2],
        yticks=[-2, 0, 2],
        aspect="equal",
        xlabel="$x_1$",
        title=title,
    )
    return ax


def velocity_map(ax: Axes, velocity, extent_km: float, limits, *, title: str = ""):
    """A velocity field (nx, nz), km/s, depth downwards. Returns the image, for a color bar."""
    image = ax.imshow(
        array(velocity.T), extent=(0, extent_km, extent_km, 0), cmap="cividis", vmin=limits[0], vmax=limits[1]
    )
    ax.set(title=title, xlabel="km", xticks=[0, 1, 2], yticks=[0, 1, 2])
    for side in ax.spines.values():
        side.set_visible(False)
    return image


# In steps, so that a slider's frames, which have few colors, show them as they are.
SPEEDS, WAVES = colormaps["cividis"].resampled(24), colormaps["RdBu_r"].resampled(31)


def model_map(ax: Axes, squared_slowness, *, side_km: float, title: str, limits=(1.7, 2.5)) -> Axes:
    """Velocity of a model (nx, nz), km/s; the image is ``ax.images[0]``."""
    speed = array(squared_slowness) ** -0.5
    ax.imshow(speed.T, extent=(0, side_km, side_km, 0), cmap=SPEEDS, vmin=limits[0], vmax=limits[1])
    ax.set(title=title, xticks=[0, 1, 2], yticks=[0, 1, 2])
    return ax


def speed_bar(figure, axes: list[Axes]) -> None:
    """One color bar, in km/s, beside maps that share their limits."""
    figure.colorbar(axes[0].images[0], ax=axes, shrink=0.75, label="velocity (km/s)", pad=0.02)
