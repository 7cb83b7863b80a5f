"""``torch.hub``: nothing is fetched from a network."""

from __future__ import annotations

from typing import Any

from allgrad.absent import refuse


def load(repo_or_dir: str, model: str, *args: Any, **kwargs: Any) -> Any:
    """An error: models are not fetched."""
    refuse(
        f"torch.hub.load({repo_or_dir!r}, {model!r})", "Build the model in Python and load its weights with torch.load."
    )


def load_state_dict_from_url(url: str, *args: Any, **kwargs: Any) -> Any:
    """An error: weights are not fetched."""
    refuse(f"download of {url!r}", "Fetch the file yourself and load it with torch.load.")


def download_url_to_file(url: str, dst: str, *args: Any, **kwargs: Any) -> None:
    """An error: files are not fetched."""
    refuse(f"download of {url!r}", "Fetch the file yourself.")
