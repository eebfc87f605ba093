"""Operators that others bring: a numpy simulator as a forward operator, one found by its name, and what is asked of it.

Three attributes an operator may carry, each used where it is there: ``model_shape``, the shape of one model;
``bounds``, (low, high), between which its models lie; ``jacobian``, its derivative.
"""

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from memprior._check import expect
from memprior._derivatives import followed
from memprior.operators import TRACED, ForwardOperator, OperatorCheck, check_operator

STATED = "model_shape", "bounds"
NO_DERIVATIVE = (
    "bring jacobian(x) -> (m, d) of one model (--jacobian, or an attribute of the function), or write the operator in "
    "torch; --no-derivative does without the linearized posterior: lookup, its coverage and the swap test need none"
)


class NumpySimulator:
    """F(x), (B, ...) -> (B, m), by a function of one numpy model that returns m real numbers; no derivative."""

    def __init__(self, simulate: Callable[[np.ndarray], np.ndarray]):
        expect(callable(simulate), "simulate", "a function of one model", type(simulate).__name__)
        self.simulate, self.__qualname__ = simulate, getattr(simulate, "__qualname__", type(simulate).__qualname__)
        for name in STATED:
            if hasattr(simulate, name):
                setattr(self, name, getattr(simulate, name))

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(np.stack([self._data(one) for one in _as_numpy(x)])).to(x)

    def _data(self, model: np.ndarray) -> np.ndarray:
        data = np.asarray(self.simulate(model.copy()))  # a simulator may work in place
        good = data.ndim == 1 and data.size > 0 and data.dtype.kind in "fiu"
        wanted = "real numbers of shape (m,) from one model; stack real and imaginary parts, flatten traces"
        expect(good, "operator", wanted, f"{data.dtype} {data.shape} from {self.__qualname__}")
        return data.astype(np.float64)


class NumpyOperator(NumpySimulator):
    """A numpy simulator with the user's Jacobian, which autograd then takes; ``numpy_operator`` makes it."""

    def __init__(self, simulate: Callable[[np.ndarray], np.ndarray], derivative: Callable[[np.ndarray], np.ndarray]):
        super().__init__(simulate)
        expect(callable(derivative), "jacobian", "a function of one model", type(derivative).__name__)
        self.derivative = derivative

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return followed(_Values(super().__call__, self.jacobian), x, "")

    def jacobian(self, x: torch.Tensor) -> torch.Tensor:
        """(B, m, d)."""
        return torch.from_numpy(np.stack([self._rows(one) for one in _as_numpy(x)])).to(x)

    def _rows(self, model: np.ndarray) -> np.ndarray:
        rows = np.asarray(self.derivative(model.copy()), dtype=np.float64)
        good = rows.ndim >= 2 and rows[0].size == model.size
        expect(good, "jacobian", f"shape (m, {model.size}) from one model", f"{rows.shape} of {self.__qualname__}")
        return rows.reshape(len(rows), model.size)


class _Values:
    """Data outside torch's graph beside their derivative, as ``followed`` takes them."""

    def __init__(self, values: Callable, jacobian: Callable):
        self.values, self.jacobian = values, jacobian

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return self.values(x)


def numpy_operator(
    simulate: Callable[[np.ndarray], np.ndarray], jacobian: Callable[[np.ndarray], np.ndarray] | None = None
) -> NumpySimulator:
    """A numpy simulator f(x) -> y of ONE model as a forward operator of batches.

    Args:
        simulate: one model, any shape -> (m,), real; called model by model in float64.
        jacobian: one model -> its derivative, (m, d) or (m, ...); else ``simulate.jacobian``, else none. With it
            autograd, :func:`memprior.operators.check_operator` and the linearized posterior see that derivative;
            without it data are to be had, and a derivative raises ``ValueError``.

    Returns:
        F, (B, ...) -> (B, m).

    Raises:
        ValueError: what is no function; when called, data or rows of another shape.

    Example:
        >>> import numpy as np
        >>> import torch
        >>> from memprior.diagnose import numpy_operator
        >>> from memprior.operators import jacobian
        >>> forward = numpy_operator(lambda x: x**2, lambda x: np.diag(2 * x))
        >>> forward(torch.tensor([[1.0, 3.0]])), jacobian(forward, torch.tensor([[1.0, 3.0]]))
        (tensor([[1., 9.]]), tensor([[[2., 0.],
                 [0., 6.]]]))
    """
    derivative = jacobian if jacobian is not None else getattr(simulate, "jacobian", None)
    return NumpySimulator(simulate) if derivative is None else NumpyOperator(simulate, derivative)


def _as_numpy(x: torch.Tensor) -> np.ndarray:
    return x.detach().cpu().double().numpy()


def load_operator(spec: str, *, numpy: bool = False, jacobian: str | None = None) -> ForwardOperator:
    """The forward operator that "module:function" or "path/to/file.py:function" names.

    An operator itself, or a function (or class) without arguments that returns one. With ``numpy`` the name is a
    simulator of one numpy model, for :func:`numpy_operator`; ``jacobian`` names its derivative. Modules are found from
    the folder of the call. Raises ``ValueError`` for a name that leads nowhere or to nothing that can be called.
    """
    loaded: dict = {}  # so that a file of both is run once
    found = _named("operator", spec, loaded)
    if not numpy:
        expect(jacobian is None, "jacobian", "a numpy simulator beside it (--numpy)", "none")
        if _takes_nothing(found):
            try:
                found = found()
            except Exception as error:  # whatever a stranger's function raises
                words = f"{type(error).__name__}: {error}"
                raise ValueError(f"operator: expected an operator from {spec}(), got {words}") from error
        expect(
            callable(found), "operator", f"a ForwardOperator, or a function that returns one, as {spec}", repr(found)
        )
        return found
    return numpy_operator(found, None if jacobian is None else _named("jacobian", jacobian, loaded))


def _named(what: str, spec: str, loaded: dict):
    module, colon, name = spec.rpartition(":")
    expect(bool(colon and module and name), what, "module:function or file.py:function", repr(spec))
    try:
        place = loaded[module] = loaded.get(module) or _module(what, module)
    except ValueError as error:
        if str(error).startswith(f"{what}: "):
            raise
        raise ValueError(f"{what}: expected a module that can be imported, got {module}: {error}") from error
    except Exception as error:  # whatever a stranger's module raises
        words = f"{type(error).__name__}: {error}"
        raise ValueError(f"{what}: expected a module that can be imported, got {module}: {words}") from error
    expect(hasattr(place, name), what, f"{name} in {module}", "no such name there")
    found = getattr(place, name)
    expect(callable(found), what, "a function or an operator", f"{type(found).__name__} {spec}")
    return found


def _module(what: str, module: str):
    if not module.endswith(".py"):
        return importlib.import_module(module)
    file = Path(module)
    expect(file.is_file(), what, f"a file {module}", "none")
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(file.stem, loaded)  # dataclasses and pickles look there
    spec.loader.exec_module(loaded)
    return loaded


def _takes_nothing(found) -> bool:
    """Is it a function or class that is called without arguments, and so makes an operator?"""
    if not (inspect.isfunction(found) or inspect.isclass(found)):
        return False
    of = inspect.signature(found).parameters.values()
    required = [one for one in of if one.default is one.empty and one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL)]
    return not required


def expect_operator(
    forward: ForwardOperator, x: torch.Tensor, num_data: int, *, derivative: bool, generator: torch.Generator
) -> OperatorCheck | None:
    """Raise ``ValueError`` unless F keeps its contract at x (B, ...), B >= 2; its numbers, None without derivative.

    Data of ``num_data`` real finite numbers, the same when asked again and whoever stands beside a model in its batch;
    with ``derivative`` what :func:`memprior.operators.check_operator` asks: Taylor, adjoint, batch.

    Example:
        >>> import numpy as np
        >>> import torch
        >>> from memprior.diagnose import expect_operator, numpy_operator
        >>> forward, x = numpy_operator(np.tanh, lambda x: np.diag(1 - np.tanh(x) ** 2)), torch.eye(2).double()
        >>> checked = expect_operator(forward, x, 2, derivative=True, generator=torch.Generator().manual_seed(0))
        >>> checked.taylor_slope > 1.9
        True
    """
    name = getattr(forward, "__qualname__", type(forward).__qualname__)
    with torch.no_grad():
        data = forward(x)
        is_tensor = isinstance(data, torch.Tensor)
        wanted = "a torch.Tensor (B, m) from a batch (B, *shape); a numpy simulator of one model goes with --numpy"
        expect(is_tensor, "operator", wanted, lambda: f"{type(data).__name__} from {name}")
        expect(data.ndim == 2 and len(data) == len(x), "operator", f"data of shape ({len(x)}, m)", tuple(data.shape))
        expect(data.dtype == x.dtype, "operator", f"data in {x.dtype} from models in it", data.dtype)
        expect(data.shape[1] == num_data, "data", f"{data.shape[1]} numbers, as {name} predicts", num_data)
        finite = bool(torch.isfinite(data).all())
        expect(finite, "operator", "finite data from the first models", lambda: f"NaN or infinity from {name}")
        size, again = float(data.abs().max()), forward(x)
        apart = float((again - data).abs().max())
        least = 2**12 * torch.finfo(x.dtype).eps * size
        expect(apart <= least, "operator", "the same data from the same models", f"{apart:.3g} between two calls")
        expect(float(data.abs().max()) > 0, "operator", "data that are not all zero", f"zeros from {name}")
        alone = torch.cat([forward(one[None]) for one in x])
        apart = float((alone - data).abs().max())
        expect(apart <= least, "operator", "members that do not depend on their batch", f"data {apart:.3g} apart")
    if not derivative:
        return None
    if isinstance(forward, NumpySimulator) and not isinstance(forward, NumpyOperator):
        raise ValueError(f"operator: expected a derivative, got the numpy function {name} alone: {NO_DERIVATIVE}")
    try:
        return check_operator(forward, x, generator=generator)
    except ValueError as error:
        if TRACED not in str(error):
            raise
        raise ValueError(f"operator: expected a derivative; {error}: {NO_DERIVATIVE}") from error
