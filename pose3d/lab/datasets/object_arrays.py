"""Reads NPZ files with pickled arrays (VideoPose3D's, P-STMO's) without running their code.

A pickle may name four things, and functions of ours stand in for all of them: what numpy pickles an
array, a dtype and a number as, and how Python 3 writes bytes in old protocols. All else is refused;
arrays are made by ``np.frombuffer``.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from pose3d.errors import DataError
from pose3d.files import BROKEN, check_archive
from pose3d.lab.datasets.npz_files import blame_file


class _RefusedError(Exception):
    """A pickle asked for something that data does not need."""


class _Dtype:
    """Stands for ``numpy.dtype`` while a pickle is read."""

    def __init__(self, code: object, align: object = False, copy: object = True) -> None:
        del align, copy
        if not isinstance(code, str) or not (code == "O8" or npy_code(code)):
            raise _RefusedError(f"an array of type {code!r}")
        self.is_object, self.order, self.code = code == "O8", "", code

    def __setstate__(self, state: Any) -> None:
        # (version, byte order, subdtype, names, fields, ...): plain numbers have none of the rest.
        if not isinstance(state, tuple) or len(state) < 5 or any(x is not None for x in state[2:5]):
            raise _RefusedError("a structured array")
        self.order = state[1] if state[1] in ("<", ">") else ""

    def make(self) -> np.dtype[Any]:
        """Returns the dtype; never that of objects."""
        return np.dtype(self.order + self.code)


def npy_code(code: str) -> bool:
    """Tells whether a dtype code stands for numbers or text of a fixed size (``f4``, ``U12``)."""
    return code[:1] in ("b", "i", "u", "f", "U", "S") and code[1:].isdigit()


class _Array:
    """Stands for ``numpy.ndarray`` while a pickle is read."""

    value: Any = None

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) != 5 or not isinstance(state[2], _Dtype):
            raise _RefusedError("an array with an unknown layout")
        _, shape, dtype, is_fortran, data = state
        order: Any = "F" if is_fortran else "C"
        if dtype.is_object:
            if not isinstance(data, list):
                raise _RefusedError("an array of objects without a list of them")
            self.value = np.empty(len(data), object)
            for i, item in enumerate(data):
                self.value[i] = _unwrap(item)
        else:
            self.value = _from_bytes(data, dtype).copy()
        self.value = self.value.reshape(shape, order=order)


def _reconstruct(*_: object) -> _Array:
    return _Array()


def _scalar(dtype: object, data: object = b"") -> Any:
    if not isinstance(dtype, _Dtype) or dtype.is_object:
        raise _RefusedError("a number of an unknown type")
    return _from_bytes(data, dtype)[0]


def _from_bytes(data: object, dtype: _Dtype) -> np.ndarray[Any, Any]:
    if not isinstance(data, (bytes, str)):
        raise _RefusedError("numbers without their bytes")
    raw = data.encode("latin1") if isinstance(data, str) else data
    return np.frombuffer(raw, dtype.make())


def _encode(text: object, encoding: object = "latin1") -> bytes:
    if not isinstance(text, str) or encoding != "latin1":
        raise _RefusedError("an encoding")
    return text.encode("latin1")


_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encode,
}
for _module in ("numpy.core.multiarray", "numpy._core.multiarray"):  # numpy 1 and 2
    _ALLOWED[_module, "_reconstruct"] = _reconstruct
    _ALLOWED[_module, "scalar"] = _scalar
_NDARRAY = object()


class _DataUnpickler(pickle.Unpickler):
    """Reads dictionaries, lists, tuples, text, numbers and arrays of them; nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("numpy", "ndarray"):
            return _NDARRAY  # only ever handed to _reconstruct, which ignores it
        if (module, name) not in _ALLOWED:
            raise _RefusedError(f"{module}.{name}")
        return _ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> Any:
        raise _RefusedError(f"something outside the file ({pid!r})")


def _unwrap(value: Any) -> Any:
    """Replaces the stand-ins for arrays by the arrays, all the way down."""
    if isinstance(value, _Array):
        return value.value
    if isinstance(value, dict):
        return {_unwrap(k): _unwrap(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_unwrap(v) for v in value)
    if isinstance(value, _Dtype) or value is _NDARRAY:
        raise _RefusedError("a type in place of data")
    return value


def load_object_npz(path: Path, *, made_by: str) -> dict[str, Any]:
    """Reads an NPZ file: name -> array, or what a zero-dimensional object array holds; ``made_by``
    (where its preparation is described) is for DataError."""
    todo = f"pose3d cannot download it; prepare it as described in {made_by}"
    try:
        with (
            blame_file(path, "readable NPZ file", todo, (*BROKEN, pickle.UnpicklingError)),
            path.open("rb") as opened,
        ):
            check_archive(opened)
            archive = zipfile.ZipFile(opened)
            names = archive.namelist()
            return {n.removesuffix(".npy"): _read_member(archive.read(n)) for n in names}
    except _RefusedError as error:
        raise DataError(
            f"{path} is refused: its pickle asks for {error}, which data does not need",
            f"Do not open it with other tools either; prepare it as described in {made_by}",
        ) from error


def _read_member(raw: bytes) -> Any:
    stream = io.BytesIO(raw)
    version = npy.read_magic(stream)
    read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read_header(stream)
    if not dtype.hasobject:
        return npy.read_array(io.BytesIO(raw), allow_pickle=False)
    # latin1: files from Python 2 hold their bytes as text.
    array = _unwrap(_DataUnpickler(stream, encoding="latin1").load())
    if not isinstance(array, np.ndarray) or array.shape != shape:
        raise ValueError(f"the header promises an array of shape {shape}")
    return array.item() if array.shape == () else array
