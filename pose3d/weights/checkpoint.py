"""Reading published checkpoints: nothing in the file runs, and only the tensors come out.
``torch.load(weights_only=True)`` calls only what rebuilds tensors. What training scripts often save
beside them becomes empty shells (:class:`Shell`), and every other name is refused."""

from __future__ import annotations

import contextlib
import pickle
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pose3d.errors import UsageError, WeightsError
from pose3d.weights.network_files import load_pickle, read_tensors

# what the weights files of pose3d call themselves
LIFTER_DIALECT, TOKENPOSE_DIALECT = "pose3d-lifter", "pose3d-tokenpose"

# Where published training scripts put the network, if not alone in the file.
_ENTRIES = ("model_pos", "model", "state_dict", "model_state_dict", "model_state", "net", "network")

# What they call a moving average of the network.
_AVERAGED = re.compile(r"(^|[._])(ema|swa|averaged?|shadow)([._]|$)", re.IGNORECASE)

# What ``DataParallel``, ``torch.compile`` and lightning modules write before every name.
_WRAPPERS = ("module.", "_orig_mod.", "model.", "model_pos.", "net.", "network.", "backbone.")

_INCOMPLETE = "It is incomplete, or of a variant of the network that pose3d does not have"

# Names that training scripts save beside the weights and that nobody needs here.
_SHELLED = (
    *(
        f"numpy.{core}.multiarray.{name}"
        for core in ("core", "_core")
        for name in ("scalar", "_reconstruct")
    ),
    "numpy.ndarray",
    "numpy.dtype",
    "numpy._core.numeric._frombuffer",
    "numpy.core.numeric._frombuffer",
    *(f"numpy.dtypes.{kind}DType" for kind in ("Float64", "Float32", "Int64", "Int32", "UInt32")),
    "numpy.random.mtrand.RandomState",
    "numpy.random.__RandomState_ctor",
    *(
        f"numpy.random._pickle.{name}"
        for name in ("__randomstate_ctor", "__generator_ctor", "__bit_generator_ctor")
    ),
    "numpy.random._mt19937.MT19937",
    "numpy.random._pcg64.PCG64",
    "numpy.random.bit_generator.SeedSequence",
    "numpy.random.bit_generator.__pyx_unpickle_SeedSequence",
    "argparse.Namespace",
    "pathlib.PosixPath",
    "pathlib.WindowsPath",
    "pathlib._local.PosixPath",
    "pathlib._local.WindowsPath",
)


class Shell:
    """Stands for an object that is not wanted: takes any argument, keeps nothing, does nothing."""

    def __new__(cls, *_args: object, **_values: object) -> Shell:
        """Makes an empty shell."""
        return object.__new__(cls)

    def __init__(self, *_args: object, **_values: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        """Forgets the state."""


def _make_shell(path: str) -> type[Shell]:
    module, name = path.rsplit(".", 1)
    return type(name, (Shell,), {"__module__": module, "__qualname__": name})


_SHELLS = tuple(_make_shell(path) for path in _SHELLED)


def read_checkpoint(path: Path, *, entry: str | None = None) -> dict[str, Tensor]:
    """Reads weights of ``torch.save`` or ``.safetensors``: name, without wrappers, -> tensor.
    ``entry`` says which table of weights is meant where the file has several (else UsageError).
    WeightsError: missing, damaged, holds objects that would run code, or no weights."""
    if path.is_dir():
        raise WeightsError(f"{path} is a folder", "Give the checkpoint file inside it")
    if not path.is_file():
        raise WeightsError(f"There is no file {path}", "Check the path")
    if path.stat().st_size == 0:
        raise WeightsError(f"{path} is empty", "Fetch it again")
    safe = _is_safetensors(path)
    content: object = _read_safetensors(path) if safe else _read_pickle(path)
    state = _unwrap(_find_table(content, path, entry))
    for name, tensor in state.items():
        if tensor.layout != torch.strided:
            raise WeightsError(f"The tensor {name!r} is sparse", "Save it as tensor.to_dense()")
    return state


def _is_safetensors(path: Path) -> bool:
    """Tells by the content, whatever the file is called; WeightsError: it only stands for a file."""
    with path.open("rb") as file:
        start = file.read(200)
    if start.startswith(b"version https://git-lfs"):
        raise WeightsError(
            f"{path} is a pointer of Git LFS, not the file", "Fetch the file: git lfs pull"
        )
    if start.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        raise WeightsError(f"{path} is a web page, no checkpoint", "Download the file it is about")
    return start[8:9] == b"{" and int.from_bytes(start[:8], "little") < path.stat().st_size


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    state, metadata = read_tensors(path)
    flags = {LIFTER_DIALECT: "--lifter ", TOKENPOSE_DIALECT: "--keypoints tokenpose:"}
    flag = flags.get(metadata.get("dialect", ""))
    if flag is not None:
        raise WeightsError(f"{path} is of pose3d already", f"Use it as it is: {flag}{path}")
    return state


def _read_pickle(path: Path) -> object:
    try:
        with _shells(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickle protocols; what matters is raised
            return load_pickle(path)
    except WeightsError:
        raise
    except OSError as error:
        raise WeightsError(f"{path} cannot be read ({error.strerror})", "Check it") from error
    # The unpickler answers damage with whatever its machine stumbles over, so any error means it.
    except Exception as error:
        raise _explain(path, error) from error


@contextlib.contextmanager
def _shells() -> Iterator[None]:
    """Lets torch's unpickler answer the names of ``_SHELLED`` with shells, inside the block."""
    before = torch.serialization.get_safe_globals()
    torch.serialization.add_safe_globals(list(_SHELLS))
    try:
        yield
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)


def _explain(path: Path, error: Exception) -> WeightsError:
    text = str(error)
    name = re.search(r"(?:Unsupported global|unsupported) ?:? GLOBAL (\S+)", text)
    if isinstance(error, pickle.UnpicklingError) and name is not None:
        return WeightsError(
            f"{path} holds more than weights: it asks for {name[1]!r}, which might run code, so "
            "nothing of it was loaded",
            "If you trust where it comes from, save its weights alone, in the environment that wrote "
            "it: torch.save(model.state_dict(), 'weights.pth')",
        )
    if re.search(r"Unsupported operand (14[0-9]|15[01])", text) is not None:
        return WeightsError(
            f"{path} is of a pickle protocol above 3, which cannot be read without running it",
            "Save it again in the environment that wrote it: torch.save(torch.load(FILE), FILE)",
        )
    if "TorchScript" in text:
        return WeightsError(
            f"{path} is a TorchScript archive, which is a program",
            "Import the checkpoint that it was made from",
        )
    return WeightsError(
        f"{path} is no checkpoint that torch can read, or it is damaged "
        f"({type(error).__name__}: {text.splitlines()[0][:120] if text else 'no reason given'})",
        "Fetch it again; files other than those of torch.save and .safetensors cannot be imported",
    )


def _find_table(content: object, path: Path, entry: str | None) -> Mapping[str, Tensor]:
    if not isinstance(content, Mapping):
        kind = type(content).__name__
        raise WeightsError(
            f"{path} holds a {kind} and no table of weights", "Import a saved state_dict"
        )
    tables = {str(k): v for k, v in content.items() if _is_table(v)}
    for key, inside in content.items():
        if isinstance(inside, Mapping) and not _is_table(inside):  # e.g. ema -> shadow
            tables |= {f"{key}.{k}": v for k, v in inside.items() if _is_table(v)}
    if entry is not None:
        if entry not in tables:
            raise UsageError(
                f"{path} has no weights under {entry!r}",
                f"It has: {', '.join(sorted(tables)) or 'only one table, leave --entry out'}",
            )
        return tables[entry]
    if _is_table(content):
        return content
    named = [name for name in _ENTRIES if name in tables]
    chosen = named if len(named) == 1 else list(tables)
    averaged = [name for name in tables if _AVERAGED.search(name)]
    if len(chosen) == 1 and not set(averaged) - set(chosen):
        return tables[chosen[0]]
    if tables:
        better = f"; {averaged[0]} is a mean over training, often better" if averaged else ""
        raise UsageError(
            f"{path} holds several tables: {', '.join(sorted(tables))}",
            f"Say one by --entry NAME{better}",
        )
    found = ", ".join(sorted(map(str, content))[:8]) or "nothing"
    raise WeightsError(f"{path} holds no weights (it has: {found})", "Check the file")


def _is_table(value: Any) -> bool:
    """Tells whether this is a state dict."""
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in value.items())
    )


def _unwrap(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Takes off what wrappers wrote before every name."""
    names = list(state)
    while wrapper := next((w for w in _WRAPPERS if all(n.startswith(w) for n in names)), None):
        names = [name.removeprefix(wrapper) for name in names]
    return dict(zip(names, state.values(), strict=True))


def rename_start(name: str, starts: Mapping[str, str], title: str) -> tuple[str, str]:
    """Returns what the first fitting start of a tensor's name is called here, and what follows it.
    WeightsError: none fits, so that it belongs to another network."""
    for start, ours in starts.items():
        rest = name.removeprefix(start)
        if rest != name and (not rest or rest[0] == "."):
            return ours, rest
    raise WeightsError(
        f"The checkpoint holds a tensor {name!r}, which {title} does not have",
        f"Check that it is a checkpoint of {title}",
    )


def shape_of(state: Mapping[str, Tensor], name: str, axes: int) -> tuple[int, ...]:
    """Returns the shape of a tensor; WeightsError: it is missing, or has another number of axes."""
    if name not in state:
        raise WeightsError(f"The checkpoint lacks the tensor {name!r}", _INCOMPLETE)
    shape = tuple(state[name].shape)
    if len(shape) != axes:
        raise WeightsError(f"The tensor {name!r} of shape {shape} has not {axes} axes", _INCOMPLETE)
    return shape


def divide(whole: int, heads: int, option: str) -> int:
    """Returns ``heads``; UsageError, naming the option: they do not divide so many channels."""
    if heads < 1 or whole % heads:
        raise UsageError(
            f"{heads} heads do not divide {whole} channels", f"Give another number with {option}"
        )
    return heads


def check_fit(state: Mapping[str, Tensor], network: Mapping[str, Tensor], title: str) -> None:
    """Raises WeightsError where a tensor is missing, left over, of another shape or not finite."""
    wanted = {k: tuple(v.shape) for k, v in network.items()}
    given = {k: tuple(v.shape) for k, v in state.items()}
    problems = {
        "lacks": [k for k in wanted if k not in given],
        "has, beyond the network,": [k for k in given if k not in wanted],
        "has in other shapes": [
            f"{k} {given[k]} instead of {wanted[k]}"
            for k in wanted
            if k in given and given[k] != wanted[k]
        ],
        "has in other kinds of numbers": [
            f"{k} {state[k].dtype}"
            for k, v in network.items()
            if k in state
            and (state[k].is_complex() or state[k].is_floating_point() != v.is_floating_point())
        ],
        "has with values that are not finite": [
            k for k, v in state.items() if v.is_floating_point() and not bool(v.isfinite().all())
        ],
    }
    for words, names in problems.items():
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise WeightsError(
                f"The checkpoint is no complete {title}: it {words} {', '.join(names[:3])}{more}",
                f"{_INCOMPLETE}; names are as in pose3d",
            )


def default_name(arch: str, path: Path) -> str:
    """Returns ``arch.tag``, the tag made of the file's name."""
    stem = path.name.split(".")[0].lower()
    tag = re.sub(r"[^a-z0-9_-]+", "-", stem).strip("-_")
    return f"{arch}.{tag or 'imported'}"
