"""Event files, read back by a decoder of its own here, and by TensorBoard's where that is installed."""

import gc
import struct
import zlib

import numpy as np
import pytest

from allgrad.errors import ArgumentError, DtypeError, ShapeError
from allgrad.utils.tensorboard import SummaryWriter
from allgrad.utils.tensorboard.images import png, to_rgb
from allgrad.utils.tensorboard.records import EventFile, crc32c, masked


def slow_crc32c(data):
    """Bit by bit, most significant bit first on reflected data: another road than the table's."""
    crc = 0xFFFFFFFF
    for byte in data:
        for bit in range(8):
            top = (crc >> 31) ^ (byte >> bit & 1)
            crc = (crc << 1 & 0xFFFFFFFF) ^ (0x1EDC6F41 if top else 0)
    return int(f"{crc ^ 0xFFFFFFFF:032b}"[::-1], 2)


def unmask(value):
    rotated = (value - 0xA282EAD8) & 0xFFFFFFFF
    return (rotated >> 17 | rotated << 15) & 0xFFFFFFFF


def records(path):
    data = path.read_bytes()
    while data:
        (length,) = struct.unpack_from("<Q", data)
        (head,) = struct.unpack_from("<I", data, 8)
        body = data[12 : 12 + length]
        (tail,) = struct.unpack_from("<I", data, 12 + length)
        assert unmask(head) == slow_crc32c(data[:8]) and unmask(tail) == slow_crc32c(body)
        yield body
        data = data[16 + length :]


def fields(data):
    """A protobuf message as {field number: [values]}; varints are signed 64-bit."""
    found, i = {}, 0

    def varint():
        nonlocal i
        shift = value = 0
        while True:
            byte = data[i]
            i += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value - 2**64 if value >= 2**63 else value

    while i < len(data):
        key = varint()
        kind = key & 7
        if kind == 0:
            value = varint()
        else:
            size = {1: 8, 5: 4}.get(kind) or varint()
            value = data[i : i + size]
            i += size
            if kind != 2:
                value = struct.unpack("<d" if kind == 1 else "<f", value)[0]
        found.setdefault(key >> 3, []).append(value)
    return found


def events(folder):
    (path,) = folder.glob("events.out.tfevents.*")
    return [fields(body) for body in records(path)]


def summary(event):
    """{tag, and the value's other fields} of an event with one summary value."""
    (value,) = fields(event[5][0])[1]
    return fields(value)


def test_crc32c_has_the_published_check_values():
    assert crc32c(b"") == 0 and crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA and crc32c(b"\xff" * 32) == 0x62A8AB43  # RFC 3720, B.4
    assert slow_crc32c(b"123456789") == 0xE3069283
    assert unmask(masked(0xDEADBEEF)) == 0xDEADBEEF


def test_scalars_with_steps_times_and_precision(tmp_path):
    class Item:
        def item(self):
            return 2.5

    class Array:
        def __array__(self, dtype=None, copy=None):
            return np.array([[3.5]])

    with SummaryWriter(tmp_path) as w:
        w.add_scalar("loss", 1.5, 3, walltime=100.0)
        w.add_scalar("loss", Item(), -1)
        w.add_scalar("loss", Array())
        w.add_scalar("loss", np.float32(4.5), 2**40)
        w.add_scalar("exact", 0.1, 1, new_style=True, double_precision=True)
        w.add_scalar("single", 0.1, 1, new_style=True)
        w.add_scalar("huge", -1e300, 0)
        w.add_scalar("nan", float("nan"), 0)
    head, *rest = events(tmp_path)
    assert head[3] == [b"brain.Event:2"]
    assert rest[0][1] == [100.0] and rest[0][2] == [3]
    assert [e.get(2) for e in rest[:4]] == [[3], [-1], None, [2**40]]
    assert [summary(e)[2][0] for e in rest[:4]] == [1.5, 2.5, 3.5, 4.5] and summary(rest[0])[1] == [b"loss"]
    exact, single = (summary(e) for e in rest[4:6])
    assert fields(exact[8][0]) == {1: [2], 6: [struct.pack("<d", 0.1)]}
    assert fields(single[8][0]) == {1: [1], 5: [struct.pack("<f", 0.1)]}
    assert fields(fields(exact[9][0])[1][0]) == {1: [b"scalars"]}
    assert summary(rest[6])[2] == [-np.inf] and np.isnan(summary(rest[7])[2][0])


def test_scalars_of_one_chart_are_runs_of_their_own(tmp_path):
    with SummaryWriter(tmp_path) as w:
        for step in range(3):
            w.add_scalars("a/b", {"x": step, "y": -step}, step)
    for tag, sign in (("x", 1), ("y", -1)):
        found = [summary(e) for e in events(tmp_path / f"a_b_{tag}")[1:]]
        assert [(f[1][0], f[2][0]) for f in found] == [(b"a/b", sign * step) for step in range(3)]


def unpack_doubles(data):
    return np.frombuffer(data, "<f8")


@pytest.mark.parametrize("bins", ["tensorflow", 10, "auto", [-1.0, 0.0, 0.5, 2.0]])
def test_histograms_count_what_numpy_counts(tmp_path, bins):
    values = np.random.default_rng(0).normal(size=(20, 30)).astype(np.float32)
    with SummaryWriter(tmp_path) as w:
        w.add_histogram("h", values, 1, bins=bins)
        w.add_histogram("h", values, 2, bins=bins, max_bins=3)
    for event, most in zip(events(tmp_path)[1:], (2000, 3)):
        found = fields(summary(event)[5][0])
        wide = values.astype(np.float64)
        expected = [wide.min(), wide.max(), wide.size, wide.sum(), (wide * wide).sum()]
        np.testing.assert_allclose([found[i][0] for i in range(1, 6)], expected, rtol=1e-12)
        limits, counts = unpack_doubles(found[6][0]), unpack_doubles(found[7][0])
        assert len(limits) == len(counts) <= most + 1 and counts[0] == 0 and (np.diff(limits) > 0).all()
        np.testing.assert_array_equal(np.histogram(wide, limits)[0], counts[1:])
        assert counts.sum() == (wide.size if bins != [-1.0, 0.0, 0.5, 2.0] else ((wide >= -1) & (wide <= 2)).sum())


def test_histograms_of_nan_and_of_nothing(tmp_path):
    with SummaryWriter(tmp_path) as w:
        w.add_histogram("h", [np.nan, 1.0], 0)
        w.add_histogram("h", [np.nan], 0)
        with pytest.raises(ArgumentError, match="no element"):
            w.add_histogram("h", np.zeros(0))
    one, none = (fields(summary(e)[5][0]) for e in events(tmp_path)[1:])
    assert unpack_doubles(one[7][0]).sum() == 1 and unpack_doubles(none[7][0]).sum() == 0
    assert one[3] == [2.0] and np.isnan(none[4][0])


def read_png(data):
    """(height, width, channels) from a PNG with unfiltered lines."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, chunks = 8, {}
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        assert struct.unpack_from(">I", data, at + 8 + size)[0] == zlib.crc32(kind + body)
        chunks[kind] = body
        at += 12 + size
    width, height, depth, color, *rest = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert depth == 8 and rest == [0, 0, 0] and chunks[b"IEND"] == b""
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, -1)
    assert (lines[:, 0] == 0).all()
    return lines[:, 1:].reshape(height, width, {2: 3, 6: 4}[color])


def test_images_keep_every_pixel(tmp_path):
    rng = np.random.default_rng(1)
    color = rng.integers(0, 256, (4, 5, 3)).astype(np.uint8)
    with SummaryWriter(tmp_path) as w:
        w.add_image("c", color.transpose(2, 0, 1), 1)
        w.add_image("c", color, 2, dataformats="HWC")
        w.add_image("g", np.array([[0.0, 0.5], [1.0, 7.0]]), 3, dataformats="HW")
        w.add_images("b", np.ones((10, 1, 2, 3), np.float32), 4)
    found = [fields(summary(e)[4][0]) for e in events(tmp_path)[1:]]
    np.testing.assert_array_equal(read_png(found[0][4][0]), color)
    assert found[0] == found[1] and [found[0][i] for i in (1, 2, 3)] == [[4], [5], [3]]
    np.testing.assert_array_equal(read_png(found[2][4][0])[..., 0], [[0, 127], [255, 255]])
    grid = read_png(found[3][4][0])
    assert grid.shape == (4, 24, 3) and (grid[:2] == 255).all()
    assert (grid[2:, :6] == 255).all() and (grid[2:, 6:] == 0).all()


def test_a_picture_with_alpha_and_what_is_no_picture():
    pixels = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
    np.testing.assert_array_equal(read_png(png(to_rgb(pixels, "HWC"))), pixels)
    with pytest.raises(ArgumentError, match="'CWX'"):
        to_rgb(pixels, "CWX")
    with pytest.raises(ShapeError, match="3 dimensions"):
        to_rgb(pixels[0], "CHW")
    with pytest.raises(ShapeError, match="channels"):
        to_rgb(pixels, "CHW")


def test_text_and_hparams(tmp_path):
    with SummaryWriter(tmp_path) as w:
        w.add_text("note", "grüße", 7)
        settings = {"lr": 0.1, "name": "sgd", "nesterov": True}
        w.add_hparams(settings, {"acc": 0.5}, {"name": ["sgd", "adam"]}, run_name="run", global_step=2)
    note = summary(events(tmp_path)[1])
    assert note[1] == [b"note/text_summary"] and fields(fields(note[9][0])[1][0]) == {1: [b"text"]}
    assert fields(note[8][0])[1] == [7] and fields(note[8][0])[8] == ["grüße".encode()]

    found = [summary(e) for e in events(tmp_path / "run")[1:]]
    names = [b"_hparams_/experiment", b"_hparams_/session_start_info", b"_hparams_/session_end_info", b"acc"]
    assert [f[1][0] for f in found] == names and found[3][2] == [0.5]
    plugin = [fields(fields(fields(f[9][0])[1][0])[2][0]) for f in found[:3]]
    experiment = fields(plugin[0][2][0])
    infos = [fields(i) for i in experiment[4]]
    assert [(i[1][0], i[4][0]) for i in infos] == [(b"lr", 3), (b"name", 1), (b"nesterov", 2)]
    assert [fields(v) for v in fields(infos[1][5][0])[1]] == [{3: [b"sgd"]}, {3: [b"adam"]}]
    assert fields(fields(experiment[5][0])[1][0]) == {2: [b"acc"]}
    pairs = [fields(p) for p in fields(plugin[1][3][0])[1]]
    values = {p[1][0]: fields(p[2][0]) for p in pairs}
    assert values == {b"lr": {2: [0.1]}, b"name": {3: [b"sgd"]}, b"nesterov": {4: [1]}}
    assert fields(plugin[2][4][0]) == {1: [1]}


def test_purge_flush_close_and_reopening(tmp_path):
    w = SummaryWriter(tmp_path / "a", purge_step=5, max_queue=1000)
    w.add_scalar("x", 1.0, 1)
    assert len(events(tmp_path / "a")) == 1  # the file's head; the rest waits
    w.flush()
    found = events(tmp_path / "a")
    assert found[1][2] == [5] and fields(found[1][7][0]) == {1: [1]} and len(found) == 3
    w.close()
    w.close()
    assert w.get_logdir() == w.log_dir == str(tmp_path / "a")
    w.add_scalar("x", 2.0, 2)
    w.close()
    assert len(list((tmp_path / "a").iterdir())) == 2

    SummaryWriter(tmp_path / "b").add_scalar("x", 1.0)  # never closed
    gc.collect()
    assert len(events(tmp_path / "b")) == 2
    eager = SummaryWriter(tmp_path / "c", max_queue=1, filename_suffix=".rank0")
    eager.add_scalar("x", 1.0)
    assert len(events(tmp_path / "c")) == 2
    assert next((tmp_path / "c").iterdir()).name.endswith(".rank0")
    eager.close()
    file = EventFile(tmp_path / "d")
    file.close()
    with pytest.raises(ArgumentError, match="closed"):
        file.add(b"")


def test_default_folder_and_what_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with SummaryWriter(comment="_x") as w:
        for call in (
            lambda: w.add_scalar("a", [1.0]),
            lambda: w.add_scalar("a", np.zeros(2)),
            lambda: w.add_scalar("a", "many"),
            lambda: w.add_text("a", 3),
            lambda: w.add_hparams({"a": [1]}, {}),
            lambda: w.add_hparams([], {}),
        ):
            with pytest.raises(DtypeError, match=r"found|must"):
                call()
        with pytest.warns(UserWarning, match="does not trace"):
            w.add_graph(None)
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.endswith("_x") and len(events(folder)) == 1 and len(list(folder.iterdir())) == 1


def test_tensorboard_reads_it(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", exc_type=ImportError)
    with SummaryWriter(tmp_path) as w:
        w.add_scalar("s", 1.5, 3, walltime=100.0)
        w.add_histogram("h", np.arange(20.0), 4)
        w.add_image("i", np.zeros((3, 4, 5)), 5)
        w.add_text("t", "hello", 6)
    reader = accumulator.EventAccumulator(str(tmp_path))
    reader.Reload()
    (scalar,) = reader.Scalars("s")
    assert (scalar.wall_time, scalar.step, scalar.value) == (100.0, 3, 1.5)
    (histogram,) = reader.Histograms("h")
    assert histogram.step == 4 and histogram.histogram_value.num == 20
    (image,) = reader.Images("i")
    assert (image.step, image.height, image.width) == (5, 4, 5)
    (text,) = reader.Tensors("t/text_summary")
    assert text.tensor_proto.string_val[0] == b"hello"
