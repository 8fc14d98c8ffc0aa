from __future__ import annotations

import platform
import warnings

import pytest
import torch

from nextrec.errors import ConfigError
from nextrec.training import device as module
from nextrec.training.device import (
    autocast_for,
    available_devices,
    describe_device,
    resolve_device,
    resolve_device_name,
)


@pytest.fixture
def no_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


def make_mac(monkeypatch: pytest.MonkeyPatch, release: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(platform, "mac_ver", lambda: (release, ("", "", ""), "arm64"))


@pytest.mark.usefixtures("no_accelerator")
def test_auto_is_the_cpu_without_accelerator() -> None:
    assert resolve_device("auto") == resolve_device(None) == resolve_device() == torch.device("cpu")
    assert resolve_device_name() == "cpu"
    assert available_devices() == ["cpu"]


@pytest.mark.usefixtures("two_gpus")
def test_auto_prefers_cuda() -> None:
    assert resolve_device("auto") == torch.device("cuda")
    assert resolve_device_name() == "cuda"
    assert available_devices()[:2] == ["cuda:0", "cuda:1"]
    assert resolve_device("cuda:1") == torch.device("cuda", 1)


@pytest.mark.parametrize(
    ("release", "expected"), [("14.0", "mps"), ("15.2", "mps"), ("13.6", "cpu")]
)
def test_mps_needs_macos_14(release: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make_mac(monkeypatch, release)
    assert resolve_device_name() == expected
    assert resolve_device("auto").type == expected
    if expected == "cpu":
        with pytest.raises(ConfigError, match="mps"):
            resolve_device("mps")


@pytest.mark.parametrize("given", ["cpu", torch.device("cpu"), "cpu:0", "meta"])
def test_devices_are_used_as_given(given: str | torch.device) -> None:
    assert resolve_device(given) == torch.device(given)


@pytest.mark.usefixtures("no_accelerator")
@pytest.mark.parametrize("absent", ["cuda", "cuda:1", "mps", "xpu", "hpu", torch.device("cuda")])
def test_an_absent_device_is_an_error(absent: str | torch.device) -> None:
    with pytest.raises(ConfigError, match=r"a device of this machine \(cpu\); got '") as error:
        resolve_device(absent)
    assert str(absent) in str(error.value)


@pytest.mark.usefixtures("two_gpus")
def test_an_index_beyond_the_last_device_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"cuda:0, cuda:1, cpu\); got 'cuda:2'"):
        resolve_device("cuda:2")


@pytest.mark.parametrize("bad", ["gpu", "cuda:x", "", "cpu gpu", 1.5, ["cpu"]])
def test_nonsense_is_an_error(bad: object) -> None:
    with pytest.raises(ConfigError, match="'auto' or a device of this machine"):
        resolve_device(bad)  # type: ignore[arg-type]


def test_hardware_has_a_name() -> None:
    assert describe_device(torch.device("cpu"))
    assert describe_device(torch.device("meta")) == "meta"


def test_fp32_changes_nothing() -> None:
    a = torch.randn(4, 4)
    with autocast_for(torch.device("cpu"), "fp32"):
        assert (a @ a).dtype == torch.float32
        assert not torch.is_autocast_enabled("cpu")


def test_bf16_runs_products_in_bfloat16() -> None:
    layer, a = torch.nn.Linear(4, 4), torch.randn(2, 4)
    for _ in range(2):
        with autocast_for(torch.device("cpu"), "bf16"):
            out = layer(a)
        assert out.dtype == torch.bfloat16
    out.float().sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.dtype == torch.float32


@pytest.mark.parametrize("bad", ["fp16", "bf_16", "float32", ""])
def test_other_precisions_are_errors(bad: str) -> None:
    with pytest.raises(ConfigError, match="one of fp32, bf16"):
        autocast_for(torch.device("cpu"), bad)


def test_a_device_without_bf16_is_an_error_and_not_a_fallback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ConfigError, match="'fp32' on the device 'meta'"):
        autocast_for(torch.device("meta"), "bf16")

    class Off:
        """What torch does for a device with autocast but without this type: it warns, is off."""

        def __init__(self, *_: object, **__: object) -> None:
            warnings.warn("disabling autocast", UserWarning, stacklevel=2)

    module._has_bf16.cache_clear()
    monkeypatch.setattr(torch, "autocast", Off)
    try:
        with pytest.raises(ConfigError, match="'fp32' on the device 'cpu'"):
            autocast_for(torch.device("cpu"), "bf16")
    finally:
        module._has_bf16.cache_clear()
