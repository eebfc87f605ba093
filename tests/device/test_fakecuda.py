"""The fake GPU behaves as torch's: what works there works here, and what is refused there is refused here."""

import copy

import fakecuda
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

X = torch.arange(6.0, device="cuda").reshape(2, 3)
C = torch.ones(2, 3, dtype=torch.float32)
A = torch.eye(3, dtype=torch.float32, device="cuda") * 2 + 0.1


def generator(seed=0, device="cuda"):
    return torch.Generator(device).manual_seed(seed)


def with_graph(x=X):
    return x.clone().requires_grad_()


WORKS = {
    "to": lambda: C.to("cuda").is_cuda and C.cuda().is_cuda and not X.cpu().is_cuda,
    "values": lambda: X.tolist() == [[0, 1, 2], [3, 4, 5]] and X.sum().item() == 15,
    "scalars of the CPU": lambda: (X + torch.tensor(1.0)).is_cuda and torch.where(X == 0, 0, 1 / X).is_cuda,
    "indices of the CPU": lambda: X[torch.tensor([0])].is_cuda and X[:, torch.tensor([True, False, True])].is_cuda,
    "views": lambda: X.clone()[0].fill_(9).is_cuda and X[1].data_ptr() == X.data_ptr() + 12,
    "permutation": lambda: sorted(torch.randperm(5, device="cuda", generator=generator()).tolist()) == [0, 1, 2, 3, 4],
    "seeds": lambda: torch.equal(*(torch.randn(4, device="cuda", generator=generator(1)) for _ in range(2))),
    "gradients": lambda: torch.equal(torch.autograd.grad((y := with_graph()).square().sum(), y)[0], 2 * X),
    "transforms": lambda: (
        torch.func.vmap(torch.func.jacrev(torch.square))(X).shape == (2, 3, 3)
        and torch.func.jvp(torch.sin, (X,), (X,))[1].is_cuda
    ),
    "linear algebra": lambda: all(
        y.is_cuda
        for y in (*torch.linalg.eigh(A), torch.linalg.cholesky(A), torch.linalg.solve(A, A), torch.cholesky_inverse(A))
    ),
    "complex numbers": lambda: (
        torch.view_as_real(X * 1j).is_cuda and torch.allclose((X * 1j).conj().cpu().imag, -X.cpu())
    ),
    "copies": lambda: next(copy.deepcopy(torch.nn.Linear(3, 2).cuda()).parameters()).is_cuda,
    "memory": lambda: torch.cuda.max_memory_allocated() >= torch.cuda.memory_allocated() > 0,
}
REFUSED = {
    "sum": (lambda: X + C, "same device"),
    "product": (lambda: X @ torch.ones(3, 1), "same device"),
    "concatenation": (lambda: torch.cat([X, C]), "same device"),
    "choice": (lambda: torch.where(C > 0, X, X), "same device"),
    "gather": (lambda: X.gather(1, torch.zeros(2, 1, dtype=torch.long)), "same device"),
    "linear layer": (lambda: torch.nn.Linear(3, 2).cuda()(C), "same device"),
    "distances": (lambda: torch.cdist(X, C), "same device"),
    "solve": (lambda: torch.linalg.solve(A, torch.ones(3, 3)), "same device"),
    "search": (lambda: torch.searchsorted(X[0], torch.ones(3)), "same device"),
    "numpy": (lambda: X.numpy(), "can't convert cuda"),
    "array": (lambda: np.asarray(X), "can't convert cuda"),
    "index of the GPU": (lambda: C[torch.tensor([0], device="cuda")], "cpu"),
    "generator of the CPU": (lambda: torch.randn(3, device="cuda", generator=torch.Generator()), "generator"),
    "generator of the GPU": (lambda: torch.randn(3, generator=generator()), "device"),
    "state of the CPU": (lambda: generator().set_state(torch.Generator().get_state()), "wrong size"),
}


@pytest.fixture(autouse=True)
def _float32():
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("works", WORKS.values(), ids=WORKS)
def test_fakecuda_does_what_a_gpu_does(works):
    assert works()


@pytest.mark.parametrize(("refused", "words"), REFUSED.values(), ids=REFUSED)
def test_fakecuda_refuses_what_a_gpu_refuses(refused, words):
    with pytest.raises((RuntimeError, TypeError, ValueError), match=words):
        refused()


def test_fakecuda_loads_files_on_the_device_asked_for(tmp_path):
    save_file({"x": X}, tmp_path / "x.safetensors")
    assert torch.equal(load_file(tmp_path / "x.safetensors")["x"], X.cpu())
    assert load_file(tmp_path / "x.safetensors", device="cuda")["x"].is_cuda


def test_fakecuda_counts_kernels_and_waits():
    fakecuda.count("test_fakecuda")
    assert float((X + 1).sum()) == 21
    found = fakecuda.report()
    fakecuda.count()
    assert found["op"]["aten::add.Tensor"] == 1
    assert [name.split()[-1] for name in found["sync"]] == ["aten::_local_scalar_dense"]
