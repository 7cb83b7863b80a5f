"""PyTorch's door to its launcher; allgrad's is ``allgrad run``."""
