"""Switches of PyTorch's backends: they can be read and set; only the thread counts mean something here."""

from allgrad.backends import cpu, cuda, cudnn, mkl, mkldnn, mps, openmp

__all__ = ["cpu", "cuda", "cudnn", "mkl", "mkldnn", "mps", "openmp"]
