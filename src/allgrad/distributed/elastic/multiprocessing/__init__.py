"""PyTorch's door to its launcher's workers; see ``errors.record``."""
