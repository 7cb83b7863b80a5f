"""One file per family of layers; ``allgrad.nn`` re-exports them."""
