"""Unmodified PyTorch programs: ``import torch`` and its submodules resolve to allgrad's.

    allgrad run --as-torch train.py
    allgrad.as_torch.install(); import torch        # in a program or a notebook

``torch.nn.functional`` is then the module ``allgrad.nn.functional`` itself, not a copy.  What allgrad has not is named
in one error with the program's own line.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

import allgrad
from allgrad.errors import UnsupportedError

OTHERS = {
    "torchvision": "read MNIST and CIFAR from a local folder with allgrad.utils.data.MNIST and CIFAR10",
    "torchaudio": "read the audio files with the standard library's wave or with soundfile",
    "torchtext": "tokenize in Python; there is nothing in torchtext that training needs",
}


# PyTorch's small modules whose names live elsewhere here: (the module there, the one that has its names).
DOORS = {
    **{
        f"nn.modules.{name}": "nn"
        for name in ("padding", "upsampling", "distance", "channelshuffle", "fold", "flatten")
    },
    **{f"optim.{name}": "optim" for name in ("adamw",)},
    **{
        f"distributions.{name}": "distributions"
        for name in [
            "bernoulli",
            "beta",
            "binomial",
            "categorical",
            "cauchy",
            "chi2",
            "continuous_bernoulli",
            "dirichlet",
            "exponential",
            "fishersnedecor",
            "gamma",
            "generalized_pareto",
            "geometric",
            "gumbel",
            "half_cauchy",
            "half_normal",
            "inverse_gamma",
            "kumaraswamy",
            "laplace",
            "lkj_cholesky",
            "log_normal",
            "logistic_normal",
            "lowrank_multivariate_normal",
            "mixture_same_family",
            "multinomial",
            "multivariate_normal",
            "negative_binomial",
            "normal",
            "one_hot_categorical",
            "pareto",
            "poisson",
            "relaxed_bernoulli",
            "relaxed_categorical",
            "studentT",
            "transformed_distribution",
            "uniform",
            "von_mises",
            "weibull",
            "wishart",
        ]
    },
}


class _Alias(Loader):
    """Hands out a module of allgrad's under its PyTorch name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        self.module = importlib.import_module(self.name)
        self.own_spec = self.module.__spec__
        return self.module

    def exec_module(self, module: ModuleType) -> None:
        # The import system has just written torch's spec onto allgrad's module; its own imports need its own.
        module.__spec__ = self.own_spec


class TorchFinder(MetaPathFinder):
    """Finds ``torch`` and ``torch.x.y`` as ``allgrad`` and ``allgrad.x.y``."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of an alias; MissingInAllgradError for a submodule that allgrad has not."""
        top, _, rest = fullname.partition(".")
        if top in OTHERS and not rest and importlib.util.find_spec(f"allgrad.{top}") is None:
            raise MissingInAllgradError(f"{top} is not available under allgrad; {OTHERS[top]}")
        if top != "torch":
            return None
        rest = DOORS.get(rest, rest)
        name = "allgrad" + (f".{rest}" if rest else "")
        try:
            found = importlib.util.find_spec(name)
        except ModuleNotFoundError:
            found = None
        if found is None:
            raise MissingInAllgradError(f"the module {fullname} is not in allgrad {allgrad.__version__}")
        return ModuleSpec(fullname, _Alias(name), is_package=found.submodule_search_locations is not None)


class MissingInAllgradError(UnsupportedError, ModuleNotFoundError):
    """A PyTorch program asks for something that allgrad has not."""


def install() -> None:
    """From now on ``import torch`` gives allgrad.  An error if the real PyTorch was imported already."""
    loaded = sys.modules.get("torch")
    if loaded is not None and loaded is not allgrad:
        raise UnsupportedError("the real torch is already imported in this process; install() must come before it")
    if not any(isinstance(f, TorchFinder) for f in sys.meta_path):
        sys.meta_path.insert(0, TorchFinder())


def explained(error: BaseException) -> BaseException:
    """For an attribute or import that allgrad lacks: the error that names it and the program's line; else ``error``."""
    name = _missing(error)
    if name is None:
        return error
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if "allgrad" not in f.filename.replace("\\", "/").split("/")]
    where = f"{own[-1].filename}:{own[-1].lineno}: {own[-1].line}" if own else "unknown place"
    new = MissingInAllgradError(
        f"{name} is not in allgrad {allgrad.__version__}; the program asks for it at {where}. "
        "Everything else of the program may still run: replace this call, or report it"
    )
    return new.with_traceback(error.__traceback__)


def _missing(error: BaseException) -> str | None:
    if isinstance(error, MissingInAllgradError):
        return None
    if isinstance(error, AttributeError):
        owner = getattr(error, "obj", None)
        if isinstance(owner, ModuleType) and owner.__name__.split(".")[0] == "allgrad":
            return f"torch{owner.__name__.removeprefix('allgrad')}.{error.name}"
        if isinstance(owner, allgrad.Tensor):
            return f"torch.Tensor.{error.name}"
        return None
    if isinstance(error, ImportError) and not isinstance(error, ModuleNotFoundError):
        found = getattr(error, "name", None) or ""
        if found.split(".")[0] in ("torch", "allgrad"):
            wanted = getattr(error, "name_from", None) or str(error).split("'")[1]
            return f"torch{found.removeprefix('allgrad').removeprefix('torch')}.{wanted}"
    return None
