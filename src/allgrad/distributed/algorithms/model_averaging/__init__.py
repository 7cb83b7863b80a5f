"""Local SGD: ranks step on their own and average their parameters from time to time."""

from allgrad.distributed.algorithms.model_averaging import averagers, hierarchical_model_averager, utils

__all__ = ["averagers", "hierarchical_model_averager", "utils"]
