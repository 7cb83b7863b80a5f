"""``allgrad.autograd``: derivatives, with PyTorch's names."""

from __future__ import annotations

from allgrad.autograd import anomaly_mode, forward_ad, function, functional, grad_mode, graph, variable
from allgrad.autograd.anomaly_mode import detect_anomaly, set_detect_anomaly
from allgrad.autograd.differentiate import backward, grad
from allgrad.autograd.function import Function
from allgrad.autograd.gradcheck import gradcheck, gradgradcheck
from allgrad.autograd.modes import enable_grad, inference_mode, no_grad, set_grad_enabled, set_multithreading_enabled
from allgrad.autograd.variable import Variable

__all__ = [
    "Function",
    "Variable",
    "anomaly_mode",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "forward_ad",
    "function",
    "functional",
    "grad",
    "grad_mode",
    "gradcheck",
    "gradgradcheck",
    "graph",
    "inference_mode",
    "no_grad",
    "set_detect_anomaly",
    "set_grad_enabled",
    "set_multithreading_enabled",
    "variable",
]
