"""Every error that allgrad raises, in one tree.

    AllgradError
    ├── ShapeError        (ValueError, RuntimeError)      shapes do not fit
    ├── DtypeError        (TypeError, RuntimeError)       dtypes do not fit
    ├── IndexRangeError   (IndexError, RuntimeError)      an index or a class label lies outside its range
    ├── ArgumentError     (ValueError, RuntimeError)      a setting has an impossible value
    ├── GradientError     (RuntimeError)                  the graph cannot answer what was asked of it
    │   ├── GraphFreedError                               a second backward through a freed graph
    │   ├── InplaceError                                  a saved value was changed before backward
    │   └── NoGradientRuleError                           an operation has no derivative
    ├── LinAlgError       (RuntimeError)                  a matrix has no inverse or no such factorization
    ├── UnsupportedError  (NotImplementedError, RuntimeError)  PyTorch has it, allgrad says that it has not
    ├── MissingPackageError (ImportError)                 an optional package is not installed
    ├── UnknownAttributeError (AttributeError)            a module has no parameter, buffer or submodule of that name
    ├── StateMismatchError (RuntimeError)                 a state dict does not fit a module
    ├── CheckpointError   (RuntimeError)                  a file is damaged, foreign or unsafe
    │   └── CheckpointMismatchError                       a checkpoint belongs to another model, data or program
    └── DistributedError  (RuntimeError)                  the layer between ranks
        ├── LaunchError                                   the world is not what the launcher promised
        ├── MismatchError                                 ranks disagree about what they are doing
        ├── RankFailedError                               another rank failed; this one stops too
        ├── CollectiveTimeoutError (TimeoutError)         a rank did not arrive
        ├── DistStoreError                                a key did not come, or the store is gone
        ├── NonFiniteError                                NaN or Inf in too many steps in a row
        └── ReplicaError                                  parameters, buffers or optimizers differ between ranks

PyTorch programs catch ``RuntimeError``; NumPy programs catch the builtin of the kind.  Both work.
Messages say what failed, on which rank where that matters, what was expected and found, and what to try.
"""

from __future__ import annotations


class AllgradError(Exception):
    """Root of all errors that allgrad raises on purpose."""


class ShapeError(AllgradError, ValueError, RuntimeError):
    """Shapes do not fit together."""


class DtypeError(AllgradError, TypeError, RuntimeError):
    """A dtype is not one that the operation takes."""


class IndexRangeError(AllgradError, IndexError, RuntimeError):
    """An index, dimension or class label lies outside its range."""


class ArgumentError(AllgradError, ValueError, RuntimeError):
    """A setting has a value that it cannot have."""


class GradientError(AllgradError, RuntimeError):
    """The graph cannot answer what was asked of it."""


class GraphFreedError(GradientError):
    """A second backward through a graph whose saved values are gone."""


class InplaceError(GradientError):
    """A value that backward needs was changed in place."""


class NoGradientRuleError(GradientError):
    """An operation on the path has no derivative for the argument asked for."""


class LinAlgError(AllgradError, RuntimeError):
    """A matrix has no inverse or no such factorization."""


class UnsupportedError(AllgradError, NotImplementedError, RuntimeError):
    """PyTorch has this; allgrad does not, and says so."""


class MissingPackageError(AllgradError, ImportError):
    """An optional package is needed for this and is not installed."""


class UnknownAttributeError(AllgradError, AttributeError):
    """A module has no such parameter, buffer, submodule or attribute."""


class StateMismatchError(AllgradError, RuntimeError):
    """A state dict does not fit a module: missing, unexpected or misshapen entries."""


class CheckpointError(AllgradError, RuntimeError):
    """A saved file is damaged, foreign or unsafe, or could not be written."""


class CheckpointMismatchError(CheckpointError):
    """A checkpoint belongs to another model, other data or another program."""


class DistributedError(AllgradError, RuntimeError):
    """Root of the errors between ranks."""


class LaunchError(DistributedError):
    """The world is not the one that the launcher promised."""


class MismatchError(DistributedError):
    """Ranks disagree about what they are doing."""


class RankFailedError(DistributedError):
    """Another rank failed, so this one stops too."""


class CollectiveTimeoutError(DistributedError, TimeoutError):
    """A rank did not arrive at a collective in time."""


class DistStoreError(DistributedError):
    """A key of a store did not come in time, or the store cannot be reached."""


class NonFiniteError(DistributedError):
    """Gradients were NaN or infinite for too many steps in a row."""


class ReplicaError(DistributedError):
    """What must be equal on all ranks is not: parameters, buffers or the state of the optimizers."""
