from __future__ import annotations

import json
import logging
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from nextrec.errors import CheckpointError, ConfigError
from nextrec.training.seed import RngState, preserve_rng, seed_everything


def draw() -> list[float]:
    """A few numbers of every stream; the normal ones leave half a pair behind."""
    return [
        random.random(),
        random.gauss(0, 1),
        float(np.random.rand()),
        float(np.random.normal()),
        float(torch.rand(())),
        float(torch.randn(())),
    ]


def test_a_seed_repeats_every_stream() -> None:
    seed_everything(11)
    first = [draw(), draw()]
    seed_everything(11)
    assert [draw(), draw()] == first
    seed_everything(12)
    assert all(a != b for a, b in zip(draw(), first[0], strict=True))
    seed_everything(int(np.int64(2**32 - 1)))


@pytest.mark.parametrize("bad", [-1, 2**32, 1.0, "1", None, True])
def test_bad_seeds(bad: object) -> None:
    with pytest.raises(ConfigError, match="seed"):
        seed_everything(bad)  # type: ignore[arg-type]


def test_state_survives_a_file_without_pickle(tmp_path: Path) -> None:
    seed_everything(5)
    draw()  # the spare normal draws of Python and numpy are pending now
    state = RngState.capture()
    expected = [draw(), draw()]
    save_file(state.tensors, tmp_path / "rng.safetensors")
    values = json.loads(json.dumps(state.values, allow_nan=False))
    seed_everything(99)
    RngState(load_file(tmp_path / "rng.safetensors"), values).restore()
    assert [draw(), draw()] == expected


def test_the_captured_state_does_not_move_with_the_streams() -> None:
    state = RngState.capture()
    first = draw()
    state.restore()
    second = draw()
    state.restore()
    assert first == second == draw()


def test_state_dict_round_trip() -> None:
    state = RngState.capture()
    expected = draw()
    RngState.from_state_dict(state.state_dict()).restore()
    assert draw() == expected


@pytest.mark.parametrize("stream", ["python", "numpy", "torch"])
def test_a_missing_stream_is_named(stream: str) -> None:
    state = RngState.capture().state_dict()
    del state["tensors"][stream]
    with pytest.raises(CheckpointError, match=f"lacks {stream}"):
        RngState.from_state_dict(state)


def test_preserve_rng_moves_no_stream() -> None:
    seed_everything(3)
    expected = [draw(), draw()]
    seed_everything(3)
    first = draw()
    with preserve_rng():
        draw()
        seed_everything(1)
    assert [first, draw()] == expected


def test_preserve_rng_restores_after_an_error() -> None:
    seed_everything(3)
    expected = draw()
    seed_everything(3)

    def fail() -> None:
        with preserve_rng():
            draw()
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert draw() == expected


def test_cuda_streams_are_kept_and_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    states = [torch.tensor([1, 2], dtype=torch.uint8), torch.tensor([3, 4], dtype=torch.uint8)]
    restored: dict[int, torch.Tensor] = {}
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_rng_state_all", lambda: states)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda s, i: restored.update({i: s}))
    RngState.capture().restore()
    assert {index: state.tolist() for index, state in restored.items()} == {0: [1, 2], 1: [3, 4]}


def test_a_cuda_stream_without_its_device_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    state = RngState.capture()
    state.tensors["cuda.1"] = torch.zeros(2, dtype=torch.uint8)
    with caplog.at_level(logging.WARNING, "nextrec"):
        state.restore()
    assert "cuda:1 is not restored" in caplog.text


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_streams_on_a_device() -> None:
    torch.rand(1, device="cuda")
    state = RngState.capture()
    expected = torch.rand(3, device="cuda")
    with preserve_rng():
        torch.rand(3, device="cuda")
    state.restore()
    assert torch.equal(torch.rand(3, device="cuda"), expected)


def test_another_numpy_generator_is_refused() -> None:
    own = np.random.get_bit_generator()
    np.random.set_bit_generator(np.random.PCG64(1))
    try:
        with pytest.raises(ConfigError, match="PCG64"):
            RngState.capture()
    finally:
        np.random.set_bit_generator(own)
