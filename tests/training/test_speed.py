"""What makes a step fast: fused attention, no wait for the device, recomputation that is asked for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from diva.errors import Unsupported
from diva.recipes import Recipe
from diva.towers import load_clip
from diva.training.build import build_accelerator, build_trainer
from diva.training.prefetch import Prefetcher
from diva.training.speed import BLOCKS, compile_blocks, speed_up
from diva.training.trainer import Trainer
from tests.fixtures.teachers import tiny_flux

Tiny = Callable[..., Recipe]
Build = Callable[..., Trainer]

# on a GPU each of these makes the host wait: reading a value, copying one in, a size that depends on values
WAITS = ("_local_scalar_dense", "lift_fresh", "nonzero", "equal", "is_nonzero", "item")
DRAWS = ("normal_", "randn", "rand", "randint", "randperm")  # which happen on the CPU


class Operations(TorchDispatchMode):
    """Collects the names of all operations."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


@pytest.fixture
def build(tiny: Tiny, tmp_path: Path) -> Build:
    def make(*overrides: str, **sections: Any) -> Trainer:
        # the optimiser of a GPU is fused; on a CPU, AdamW would read its step count
        stages = [{"steps": 9, "optimizer": {"type": "sgd", "lr": 1e-2}}]
        recipe = tiny("training.micro_batch=4", *overrides, stages=stages, **sections)
        return build_trainer(recipe, build_accelerator(recipe, tmp_path), load_clip(recipe.tower.name), tmp_path)

    return make


def operations(trainer: Trainer) -> list[str]:
    state, batches = trainer.prepare(0), trainer.prefetcher
    assert isinstance(batches, Prefetcher)
    trainer.update(state, batches)  # tables of the noise schedule are moved in the first step
    micro_batches = iter([next(batches)])
    with Operations() as seen:
        trainer.update(state, micro_batches)
    return seen.names


@pytest.mark.parametrize("method", ["diva", "genhancer"])
def test_a_step_never_waits_for_the_device(build: Build, method: str, tmp_path: Path) -> None:
    flow = {"type": "rectified_flow", "path": str(tiny_flux(tmp_path / "flux")), "latents": "sample"}
    sections = {} if method == "diva" else {"condition": {"type": "pooled_pair"}, "denoiser": flow}
    found = operations(build(**sections))
    assert "convolution" in found
    assert [name for name in found if name in (*WAITS, *DRAWS)] == []


def test_attention_is_fused_in_tower_and_denoiser(build: Build) -> None:
    trainer = build()
    found = operations(trainer)
    fused = [name for name in found if name.startswith("_scaled_dot_product") and "backward" not in name]
    blocks = [module for module in trainer.denoiser.network.modules() if type(module).__name__ == "Attention"]
    assert len(fused) >= len(blocks) + 3  # the tiny tower has three layers
    assert "_softmax" not in found


def test_each_level_of_checkpointing_computes_one_more_network_twice(build: Build) -> None:
    counts = {}
    for level in ("none", "unet", "both"):
        trainer = build(f"training.checkpoint_activations={level}")
        state = trainer.prepare(0)
        with FlopCounterMode(display=False) as counter:
            trainer.update(state, trainer.prefetcher)
        counts[level] = counter.get_total_flops()
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            trainer.student.tower(torch.zeros(4, 3, 32, 32))
        tower = counter.get_total_flops()
    assert counts["none"] < counts["unet"] < counts["both"]
    # a block is computed again up to what its last layer needs
    assert 0.5 * tower < counts["both"] - counts["unet"] < tower


def test_channels_last_changes_the_layout_and_no_prediction(build: Build, tiny: Tiny) -> None:
    trainer = build()
    rgb = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    before = trainer.denoiser.encode(rgb)
    # what a run on a GPU does to the networks, wherever they are
    speed_up(tiny(), trainer.student.tower, trainer.denoiser, torch.device("cuda"))
    kernels = [p for p in trainer.denoiser.network.parameters() if p.ndim == 4 and min(p.shape[1:]) > 1]
    assert kernels
    assert all(kernel.is_contiguous(memory_format=torch.channels_last) for kernel in kernels)
    torch.testing.assert_close(trainer.denoiser.encode(rgb), before)


def test_a_denoiser_that_cannot_recompute_is_refused(build: Build, tiny: Tiny) -> None:
    trainer = build()
    trainer.denoiser.network = nn.Linear(2, 2)
    recipe = tiny("training.checkpoint_activations=unet")
    with pytest.raises(Unsupported, match=r"training\.checkpoint_activations: Linear"):
        speed_up(recipe, trainer.student.tower, trainer.denoiser, torch.device("cpu"))


def test_every_repeated_block_is_compiled_and_no_parameter_is_renamed(build: Build) -> None:
    trainer = build()
    networks = [trainer.student.tower, trainer.denoiser.network]
    names = [list(network.state_dict()) for network in networks]
    blocks = [module for network in networks for module in network.modules() if type(module).__name__ in BLOCKS]
    assert {"ResidualAttentionBlock", "BasicTransformerBlock", "ResnetBlock2D"} == {
        type(b).__name__ for b in blocks
    }
    assert compile_blocks(networks) == len(blocks)
    assert all(block._compiled_call_impl is not None for block in blocks)
    assert [list(network.state_dict()) for network in networks] == names


def test_a_block_is_compiled_for_more_shapes_than_torch_s_own_limit() -> None:
    torch._dynamo.reset()
    ran = []

    def backend(graph: torch.fx.GraphModule, _inputs: list[Tensor]) -> Callable[..., Any]:
        return lambda *inputs: ran.append(1) or graph(*inputs)

    widths = range(8, 8 * 13, 8)
    blocks = [ResnetBlock2D(in_channels=width, groups=8, temb_channels=None) for width in widths]
    assert compile_blocks(blocks, backend=backend) == len(blocks) == 12
    for block, width in zip(blocks, widths, strict=True):
        block(torch.zeros(1, width, 4, 4), None)
    assert len(ran) == len(blocks)


@pytest.mark.slow
def test_compiled_blocks_compute_the_same_losses_and_gradients(build: Build) -> None:
    found = []
    for compiled in (False, True):
        torch.manual_seed(0)  # the projection's start
        trainer = build()
        if compiled:  # traced and differentiated as for a GPU; the kernels are PyTorch's own
            compile_blocks([trainer.denoiser.network], backend="aot_eager")
        update = trainer.update(trainer.prepare(0), trainer.prefetcher)
        found.append([*update.losses.tolist(), float(update.norms["grad_norm_tower"])])
    assert found[1] == pytest.approx(found[0], rel=1e-4)


def test_deepspeed_is_refused_with_the_way_to_start(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    with pytest.raises(Unsupported, match="ACCELERATE_USE_DEEPSPEED:"):
        build_accelerator(tiny(), tmp_path)
