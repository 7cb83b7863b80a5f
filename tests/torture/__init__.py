"""Torture of checkpoints, launcher and signals: ``make torture``, or ``PYTHONPATH=src:tests python -m torture --help``."""
