"""``allgrad.func``: derivatives as transformations of functions, with the names of ``torch.func``."""

from __future__ import annotations

from allgrad.func.batching import vmap
from allgrad.func.jacobians import hessian, jacfwd, jacrev
from allgrad.func.modules import functional_call, stack_module_state
from allgrad.func.transforms import grad, grad_and_value, jvp, linearize, vjp

__all__ = [
    "functional_call",
    "grad",
    "grad_and_value",
    "hessian",
    "jacfwd",
    "jacrev",
    "jvp",
    "linearize",
    "stack_module_state",
    "vjp",
    "vmap",
]
