"""A GPU that is not there: torch on the CPU with one more device, "cuda", whose memory is the CPU's (fakecuda.cpp).

Autograd's threads, functional transforms, type promotion, generators and refusals (tensors of two devices, numpy, a
generator of the other device, operators without a CUDA kernel) are torch's own. It finds device errors and counts
kernels and waits of the host by source line; of a real card's speed, rounding and order of sums it says nothing.

``build()`` compiles it for the installed torch, before torch is imported; importing this module loads it, and must come
before torch too; ``install()`` shows it to torch.
"""

import ctypes
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).parent
SOURCE = HERE / "fakecuda.cpp"
REASON = "no GPU here"  # by which a test skips itself where there is none
_library = None


class NoCompiler(RuntimeError):
    """What is missing for the fake GPU to be compiled, in one sentence."""


def compiled() -> Path:
    """Where the library of this source, torch and Python lies once it is compiled: below _build."""
    told = repr((SOURCE.read_text(encoding="utf-8"), metadata.version("torch"), sys.version))
    return HERE.parents[1] / "_build" / "device" / f"fakecuda-{hashlib.sha256(told.encode()).hexdigest()[:12]}.so"


def build() -> Path:
    """Compile it, once for each torch and Python; a minute.

    Raises :class:`NoCompiler` where there is no C++ compiler or no Python header, and ``RuntimeError`` with the
    compiler's words where it fails.
    """
    library = compiled()
    if library.is_file():
        return library
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
    headers = sysconfig.get_paths()["include"]
    if not compiler:
        raise NoCompiler("expected a C++ compiler (g++ or clang++, or CXX), found none")
    if not Path(headers, "Python.h").is_file():
        raise NoCompiler(f"expected Python's headers in {headers}, found none (Debian: python3-dev)")
    torch = Path(importlib.util.find_spec("torch").origin).parent
    library.parent.mkdir(parents=True, exist_ok=True)
    partial = library.with_suffix(f".{os.getpid()}")
    includes = torch / "include", torch / "include/torch/csrc/api/include", headers
    command = [compiler, "-std=c++20", "-O1", "-g0", "-w", "-shared", "-fPIC", str(SOURCE), "-o", str(partial)]
    command += [f"-I{folder}" for folder in includes] + [f"-L{torch / 'lib'}", "-ltorch_cpu", "-ltorch", "-lc10"]
    done = subprocess.run([*command, f"-Wl,-rpath,{torch / 'lib'}"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr[-3000:]}")
    os.replace(partial, library)
    return library


def install(salt: int = 0) -> None:
    """Give torch its GPU. ``salt``: 0, a GPU's generator draws what the CPU's does; else other numbers, as a card."""
    global _library
    if _library is not None:
        return
    if "torch" in sys.modules:  # at its import torch looks up CUDA's hooks, once
        raise ImportError("fakecuda: expected to be installed before torch is imported")
    _library = ctypes.PyDLL(str(compiled()))
    import torch

    _library.fakecuda_report.restype = ctypes.c_char_p
    for name in ("held", "peak"):
        getattr(_library, f"fakecuda_{name}").restype = ctypes.c_int64
    _library.fakecuda_salt(ctypes.c_uint64(salt))
    _tell_operators()
    for name, value in {"_cuda_getCurrentRawStream": lambda i: 0, "_cuda_getDeviceCount": lambda: 1}.items():
        if not hasattr(torch._C, name):
            setattr(torch._C, name, value)
    properties = type("Properties", (), {"name": "Fake GPU", "total_memory": 2**34, "major": 9, "minor": 0})()
    for name, value in {
        "_lazy_init": lambda: None,
        "_initialized": True,
        "_is_in_bad_fork": lambda: False,
        "_is_compiled": lambda: True,
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "set_device": lambda device: None,
        "get_device_name": lambda device=None: properties.name,
        "get_device_properties": lambda device=None: properties,
        "get_device_capability": lambda device=None: (properties.major, properties.minor),
        "synchronize": lambda device=None: None,
        "empty_cache": lambda: None,
        "memory_allocated": lambda device=None: _library.fakecuda_held(),
        "max_memory_allocated": lambda device=None: _library.fakecuda_peak(),
        "reset_peak_memory_stats": lambda device=None: _library.fakecuda_reset_peak(),
        "default_generators": (torch.Generator("cuda"),),  # the first one made is the default one
    }.items():
        setattr(torch.cuda, name, value)
    _copy_storages(torch)
    _run_deepwave_on_the_cpu(torch)


def count(where: str | None = None) -> None:
    """count("memprior/") starts counting by the source line nearest below such a path; count() stops."""
    _library.fakecuda_count(int(where is not None), (where or "").encode())


def report() -> dict[str, dict[str, int]]:
    """What was counted: "op": kernels by operator; "line": kernels by line; "sync": waits of the host by both."""
    found = {"op": {}, "line": {}, "sync": {}}
    for row in _library.fakecuda_report().decode().splitlines():
        kind, key, number = row.split("\t")
        found[kind][key] = int(number)
    return found


def _tell_operators() -> None:
    """Which operators have a CUDA kernel, and which check that all tensors share a device, as torchgen writes it."""
    import torchgen
    import yaml

    file = Path(torchgen.__file__).parent / "packaged/ATen/native/native_functions.yaml"
    rows = yaml.load(file.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    table = {row["func"].split("(")[0]: row for row in rows}

    def keys(row):
        return {key.strip() for keys in row.get("dispatch", {}) for key in keys.split(",")}

    for name, row in table.items():
        real = table[row["structured_delegate"].split("(")[0]] if "structured_delegate" in row else row
        cuda = "ufunc_inner_loop" in real or "CUDA" in keys(real) | keys(row)
        exact = not str(row.get("device_check", "")).startswith("NoCheck")
        _library.fakecuda_operator(f"aten::{name}".encode(), int(exact), int(cuda))


def _copy_storages(torch) -> None:
    """copy.deepcopy of a tensor clones its storage, by a method that only the real CUDA has."""
    plain = torch.UntypedStorage.__deepcopy__

    def deepcopy(self, memo):
        if self.device.type != "cuda":
            return plain(self, memo)
        memo = memo.setdefault("torch", {})
        if self._cdata not in memo:
            numbers = torch.empty(0, dtype=torch.uint8, device="cuda").set_(self)
            memo[self._cdata] = numbers.clone().untyped_storage()
        return memo[self._cdata]

    torch.UntypedStorage.__deepcopy__ = deepcopy


def _run_deepwave_on_the_cpu(torch) -> None:
    """deepwave's compiled CPU code runs on this memory too; its own CUDA code would ask for a driver."""
    import deepwave._backend_utils as backend
    import deepwave._engine as engine

    function, auxiliary, gradients = (
        backend.get_backend_function,
        engine.get_aux_and_stream,
        engine.allocate_model_gradients,
    )
    cpu = torch.device("cpu")
    backend.get_backend_function = lambda *a, **k: function(
        *(cpu if isinstance(x, torch.device) else x for x in a), **k
    )
    engine.get_aux_and_stream = lambda model, num, is_cuda, **k: auxiliary(model, num, False, **k)
    engine.allocate_model_gradients = lambda models, batched, n, a, is_cuda, *rest, **k: gradients(
        models, batched, n, a, False, *rest, **k
    )
