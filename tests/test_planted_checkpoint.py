"""Guards of checkpoints switched off one at a time: each must be caught by the test named beside it."""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import test_checkpoint_background
import test_checkpoint_damage
import test_checkpoint_guards
import test_checkpoint_power
import test_checkpoint_resume
import test_preemption
from allgrad.checkpoint import (
    disk,
    folder,
    loading,
    manager,
    manifest,
    replay,
    saving,
    sections,
    shard,
    state,
)
from allgrad.checkpoint.disk import Disk
from allgrad.checkpoint.preemption import SIGNALS
from checkpoint_disks import PowerDisk

Patch = pytest.MonkeyPatch


def files_not_synced(patch: Patch) -> None:
    patch.setattr(PowerDisk, "sync", lambda self, handle: None)


def names_not_synced(patch: Patch) -> None:
    patch.setattr(PowerDisk, "sync_folder", lambda self, path: None)


def manifest_first(patch: Patch) -> None:
    """The old one goes before the new one is whole."""
    real = folder.Folder.commit

    def commit(self: Any, name: str, found: Any) -> None:
        self.prune(name, 1, set())
        real(self, name, found)

    patch.setattr(folder.Folder, "commit", commit)


def manifest_written_in_place(patch: Patch) -> None:
    def in_place(disk_: Disk, where: str, name: str, parts: Any) -> None:
        if name in disk_.names(where):
            disk_.remove(f"{where}/{name}")
        disk.write_file(disk_, f"{where}/{name}", parts)
        disk_.sync_folder(where)

    patch.setattr(folder, "replace_file", in_place)


def digests_not_checked(patch: Patch) -> None:
    """What is read is believed."""

    def tensor(self: Any, name: str) -> Any:
        t = self.entry.tensors[name]
        with disk.opened(self.disk, self.folder, self.name) as handle:
            raw = disk.read_span(self.disk, handle, 8 + self.entry.header + t.start, t.stop - t.start)
        return np.frombuffer(raw, t.dtype).reshape(t.shape)

    patch.setattr(shard.Shard, "complaint", lambda self: None)
    patch.setattr(shard.Shard, "tensor", tensor)


def manifest_not_checked(patch: Patch) -> None:
    patch.setattr(manifest, "_FIRST_LINE", "")
    real = manifest.parse

    def parse(raw: Any, where: str) -> Any:
        rest = bytes(raw[65:])
        return real(hashlib.sha256(rest).hexdigest().encode() + b"\n" + rest, where)

    patch.setattr(manifest, "_OPENING", 65)
    patch.setattr(folder, "parse", parse)


def links_followed(patch: Patch) -> None:
    patch.setattr(Disk, "open", lambda self, where, name: disk.os.open(f"{where}/{name}", disk.os.O_RDONLY))


def damage_seen_by_one_rank_only(patch: Patch) -> None:
    patch.setattr(loading, "verify", lambda comm, stored: next((c for s in stored.shards if (c := s.complaint())), "")
                  if comm.rank == 0 else "")  # fmt: skip


def only_damage_is_a_fresh_start(patch: Patch) -> None:
    real = loading.candidates
    patch.setattr(loading, "candidates", lambda comm, f: [c for c in real(comm, f) if not c.complaint])
    patch.setattr(loading, "verify", lambda comm, stored: "")
    patch.setattr(loading, "_read", lambda comm, read, stored: (lambda: None, ""))


def failure_kept_on_its_rank(patch: Patch) -> None:
    """The rank that could not write raises, the others go on."""
    real = saving.judge
    patch.setattr(saving, "judge", lambda comm, complaints, *rest: real(comm, [complaints[comm.rank]], *rest))


def fingerprint_ignored(patch: Patch) -> None:
    patch.setattr(manager, "differences", lambda *a: [])


def random_numbers_forgotten(patch: Patch) -> None:
    patch.setattr(manager, "load_random_state", lambda stored, rank, size: lambda: None)


def place_in_the_epoch_forgotten(patch: Patch) -> None:
    patch.setattr(state.DataLoader, "load_state_dict", lambda self, found: None)


def workers_start_anew(patch: Patch) -> None:
    real = state.DataLoader.load_state_dict
    patch.setattr(
        state.DataLoader, "load_state_dict", lambda self, s: real(self, {k: v for k, v in s.items() if k != "workers"})
    )


def shards_step_forgotten(patch: Patch) -> None:
    from allgrad.distributed.shards import Sharding

    patch.setattr(Sharding, "load_state_dict", lambda self, found: None)


def rank_0_state_for_all(patch: Patch) -> None:
    """What differs between ranks is stored as if it were the same."""
    real = sections.Section.digest
    patch.setattr(sections.Section, "digest", lambda self: "same" if real(self) else "")


def one_share_of_the_optimizer(patch: Patch) -> None:
    """Another number of ranks gets the state of the first rank's parameters only."""
    real = sections.Stored.value
    patch.setattr(
        sections.Stored, "value", lambda self, name, rank: real(self, name, 0 if name == "optimizer" else rank)
    )


def no_snapshot(patch: Patch) -> None:
    patch.setattr(sections.Division, "snapshot", lambda self: None)


def late_error_swallowed(patch: Patch) -> None:
    patch.setattr(saving.Save, "status", lambda self: "done")
    patch.setattr(saving, "PATIENCE_S", 0.2)


def stops_alone(patch: Patch) -> None:
    """A rank that was asked to stop does so without the others."""
    real = manager.exchange
    patch.setattr(
        manager, "exchange",
        lambda comm, m, label: [real(comm, m, label)[comm.rank]] if label == "between steps" else real(comm, m, label),
    )  # fmt: skip


def replay_of_ones_own(patch: Patch) -> None:
    """The next rank repeats what it was told, and computes nothing."""
    real = replay.exchange

    def exchange(comm: Any, message: Any, label: str) -> Any:
        rows = real(comm, message, label)
        return [[row[0], rows[r - 1][0]] for r, row in enumerate(rows)] if "replayed" in label else rows

    patch.setattr(replay, "exchange", exchange)


damage, resume, background = test_checkpoint_damage, test_checkpoint_resume, test_checkpoint_background
PLANTED: list[tuple[Callable[[Patch], None], Callable[[Path], None]]] = [
    (files_not_synced, lambda t: test_checkpoint_power.test_old_or_new_whatever_survives(1, False)),
    (names_not_synced, lambda t: test_checkpoint_power.test_old_or_new_whatever_survives(1, False)),
    (manifest_first, lambda t: test_checkpoint_power.test_old_or_new_whatever_survives(1, False)),
    (manifest_written_in_place, lambda t: test_checkpoint_power.test_old_or_new_whatever_survives(1, False)),
    (digests_not_checked, damage.test_damage_names_the_tensor_and_the_one_before_is_used),
    (manifest_not_checked, lambda t: damage.test_every_flipped_bit_is_found(damage.two_ranks_in_memory())),
    (links_followed, lambda t: damage.test_tampering_is_found(t, "link")),
    (damage_seen_by_one_rank_only, damage.test_all_ranks_warn_alike_and_use_the_same),
    (only_damage_is_a_fresh_start, damage.test_nothing_there_is_a_fresh_start_but_only_damage_is_an_error),
    (failure_kept_on_its_rank, lambda t: damage.test_every_failing_operation(t, "last", 5, False)),
    (fingerprint_ignored, damage.test_what_differs_is_named),
    (random_numbers_forgotten, lambda t: resume.test_resumed_run_equals_the_whole_one(t, 2, False)),
    (place_in_the_epoch_forgotten, lambda t: resume.test_another_number_of_ranks_sees_every_sample_once(t, 1, 3, True)),
    (workers_start_anew, lambda t: resume.test_workers_draw_on_where_they_were(t, {"num_workers": 2})),
    (
        shards_step_forgotten,
        lambda t: resume.test_with_logical_shards_the_number_of_ranks_may_change_and_no_bit_does(t, False),
    ),
    (rank_0_state_for_all, lambda t: resume.test_resumed_run_equals_the_whole_one(t, 3, False)),
    (
        one_share_of_the_optimizer,
        lambda t: resume.test_with_logical_shards_the_number_of_ranks_may_change_and_no_bit_does(t, True),
    ),
    (no_snapshot, background.test_training_may_change_what_is_being_written),
    (late_error_swallowed, lambda t: background.test_errors_reach_all_ranks(t, 2, "close")),
    (stops_alone, lambda t: test_preemption.test_virtual_ranks_agree_on_the_step(t, 3)),
    (replay_of_ones_own, lambda t: test_checkpoint_guards.test_the_wrong_rank_is_named_on_all(3, 1, False)),
]


@pytest.mark.parametrize(("plant", "named_test"), PLANTED, ids=[plant.__name__ for plant, _ in PLANTED])
def test_is_caught(plant: Any, named_test: Any, monkeypatch: Patch, tmp_path: Path) -> None:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    plant(monkeypatch)
    try:
        with pytest.raises((Exception, pytest.fail.Exception)):
            named_test(tmp_path)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
