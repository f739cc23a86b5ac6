"""8-bit linear layers against the arithmetic that they stand for, in float64 and written out here."""

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from diva.errors import InputError
from diva.feedback import feedback
from diva.miniworld.scene import draw, generator
from diva.miniworld.writers import write_shards
from diva.recipes import Recipe, load_recipe
from diva.recipes.resume import FREE_ON_RESUME
from diva.towers import load_clip
from diva.training.build import build_accelerator, build_trainer
from diva.training.float8 import Float8Linear, quantised, use_float8
from diva.training.speed import compile_blocks
from diva.training.trainer import Trainer

Tiny = Callable[..., Recipe]
HALF = 2.0**-9  # half a unit in the last place of bfloat16, as a share


def rounded(rows: Tensor) -> Tensor:
    """Round each row of float64 numbers to the nearest that e4m3 has under the row's own scale."""
    scale = rows.abs().amax(dim=1, keepdim=True) / 448
    scaled = rows / scale
    # three bits behind the leading one, and below 2^-6 steps of 2^-9
    step = 2.0 ** (scaled.abs().clamp(min=2.0**-6).log2().floor() - 3)
    return (scaled / step).round() * step * scale


def layer(inputs: int, outputs: int, seed: int, *, bias: bool = True) -> nn.Linear:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Linear(inputs, outputs, bias=bias).requires_grad_(False)


@given(
    sizes=st.tuples(st.integers(1, 33), st.integers(1, 6), st.integers(1, 6)),
    seed=st.integers(0, 99),
    bias=st.booleans(),
    exponent=st.integers(-20, 10),
)
def test_both_directions_are_products_of_what_the_rows_round_to(
    sizes: tuple[int, int, int], seed: int, bias: bool, exponent: int
) -> None:
    rows, inputs, outputs = sizes[0], 16 * sizes[1], 16 * sizes[2]
    plain = layer(inputs, outputs, seed, bias=bias)
    generator = torch.Generator().manual_seed(seed)
    x = (torch.randn(2, rows, inputs, generator=generator) * 2.0**exponent).requires_grad_()
    gradient = torch.randn(2, rows, outputs, generator=generator) * 2.0 ** (exponent - 20)
    y = Float8Linear(plain)(x)
    y.backward(gradient)
    weight = plain.weight.double()
    offset = plain.bias.bfloat16().double() if bias else torch.zeros(outputs)
    product = rounded(x.detach().double().flatten(0, 1)) @ rounded(weight).T
    back = rounded(gradient.double().flatten(0, 1)) @ rounded(weight.T.contiguous()).T
    close(y.detach().flatten(0, 1), product + offset, product.abs().max())
    assert x.grad is not None
    close(x.grad.flatten(0, 1), back, back.abs().max())


def close(found: Tensor, expected: Tensor, largest: Tensor) -> None:
    """Compare up to the rounding of the product and of its sum with the bias, and to numbers near the middle of two
    that e4m3 has, of which there may be a few.
    """
    error = (found.double() - expected).abs()
    assert (error <= 2 * HALF * expected.abs() + 2e-3 * largest).all()
    assert error.square().mean().sqrt() <= 2 * HALF * expected.square().mean().sqrt() + 1e-4 * largest


def test_a_scaled_row_keeps_its_largest_number_and_zeros() -> None:
    rows = torch.tensor([[448.0, 17.0, -3.0, 0.0], [0.0, 0.0, 0.0, 0.0], [2e-20, -1e-20, 0.0, 0.0]])
    values, scales = quantised(rows)
    back = values.float() * scales
    # by hand: 17 lies halfway between 16 and 18, and the even one of the two is 16
    torch.testing.assert_close(back, torch.tensor([[448.0, 16.0, -3.0, 0.0], [0.0] * 4, [2e-20, -1e-20, 0.0, 0.0]]))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_any_layout_of_the_input_gives_the_same_and_in_its_dtype(dtype: torch.dtype) -> None:
    eight = Float8Linear(layer(32, 48, 0))
    x = torch.randn(1, 32, 9, generator=torch.Generator().manual_seed(1)).to(dtype)
    found = eight(x.transpose(1, 2))  # as an UNet's transformers see channels that come first
    assert found.dtype == dtype
    assert torch.equal(found, eight(x.transpose(1, 2).contiguous()))


def test_gradients_lose_less_in_e4m3_than_in_e5m2_where_each_row_has_its_scale() -> None:
    gradient = torch.randn(64, 256, generator=torch.Generator().manual_seed(2)).exp() * 1e-9
    values, scales = quantised(gradient)
    coarse_scales = gradient.amax(dim=1, keepdim=True) / torch.finfo(torch.float8_e5m2).max
    coarse = (gradient / coarse_scales).to(torch.float8_e5m2).float() * coarse_scales
    fine = values.float() * scales
    assert (fine - gradient).norm() < 0.6 * (coarse - gradient).norm()


def test_large_layers_alone_become_8_bit() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.ff = nn.Sequential(nn.Linear(64, 96), nn.GELU(), nn.Linear(96, 64))
            self.narrow = nn.Linear(64, 32)
            self.odd = nn.Linear(72, 64)
            self.time_embedding = nn.Linear(64, 64)
            self.attention = nn.MultiheadAttention(64, 2)

    net = Net().requires_grad_(False)
    assert use_float8(net, smallest=64) == 2
    eight = {name for name, module in net.named_modules() if isinstance(module, Float8Linear)}
    assert eight == {"ff.0", "ff.2"}
    with pytest.raises(InputError, match=r"training\.frozen_linear: no linear layer of Net is 512 wide or more"):
        use_float8(net)


@pytest.fixture
def trainer(tiny: Tiny, tmp_path: Path) -> Callable[[], Trainer]:
    def make() -> Trainer:
        torch.manual_seed(0)  # the projection's start
        recipe = tiny("training.micro_batch=4")
        return build_trainer(recipe, build_accelerator(recipe, tmp_path), load_clip(recipe.tower.name), tmp_path)

    return make


def test_a_step_keeps_its_losses_and_the_size_of_its_gradients_compiled_or_not(
    trainer: Callable[[], Trainer],
) -> None:
    found = {}
    for kind in ("plain", "eight", "compiled"):
        made = trainer()
        if kind != "plain":
            assert use_float8(made.denoiser.network, smallest=16) > 10
        if kind == "compiled":  # traced and differentiated as for a GPU; the kernels are PyTorch's own
            compile_blocks([made.denoiser.network], backend="aot_eager")
        update = made.update(made.prepare(0), made.feed)
        found[kind] = [*update.losses.tolist(), float(update.norms["grad_norm_tower"])]
    assert found["eight"] != found["plain"]
    assert found["eight"] == pytest.approx(found["plain"], rel=0.05)
    assert found["compiled"] == pytest.approx(found["eight"], rel=1e-3)


def test_the_miniature_teacher_gives_the_tower_the_gradient_that_float32_gives(tmp_path: Path) -> None:
    base = files("diva.miniworld") / "bases" / "0"
    (tmp_path / "shards").mkdir()
    scenes = draw(32, generator(5))
    write_shards(scenes, [""] * 32, tmp_path / "shards", per_shard=8)
    fields = [f"tower.name={base}/clip", f"denoiser.path={base}/teacher", f"data.source={tmp_path}/shards"]
    losses, gradients = [], []
    for dtype in ("float32", "bfloat16"):
        torch.manual_seed(0)
        recipe = load_recipe(
            "diva/quickstart", [*fields, f"training.frozen_dtype={dtype}", "diagnostics.every=null"]
        )
        accelerator = build_accelerator(recipe, tmp_path)
        made = build_trainer(recipe, accelerator, load_clip(recipe.tower.name), tmp_path)
        if dtype == "bfloat16":
            assert use_float8(made.denoiser.network, smallest=32) == 40
        pixels, latents = made.look_at(portion := next(made.feed))
        loss = feedback(
            made.student, made.denoiser, made.objective, pixels=pixels, latents=latents, draws=portion.draws
        ).mean()
        loss.backward()
        losses.append(float(loss))
        grads = [parameter.grad for parameter in made.student.tower.parameters() if parameter.grad is not None]
        gradients.append(torch.cat([grad.flatten() for grad in grads]))
    # bfloat16 alone: 0.2 % of the loss, a cosine of 0.99997; with 8-bit layers 0.1 % and 0.9994
    assert losses[1] == pytest.approx(losses[0], rel=0.01)
    assert torch.cosine_similarity(*gradients, dim=0) > 0.998


def test_a_layer_compiles_in_one_graph() -> None:
    eight = Float8Linear(layer(32, 48, 3))
    compiled = torch.compile(eight, backend="aot_eager", fullgraph=True)
    x = torch.randn(2, 5, 32, generator=torch.Generator().manual_seed(4)).requires_grad_()
    compiled(x).sum().backward()
    assert x.grad is not None
    traced, x.grad = x.grad, None
    eight(x).sum().backward()
    torch.testing.assert_close(traced, x.grad)


def test_a_device_without_such_units_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    recipe = tiny("training.frozen_linear=float8")
    with pytest.raises(
        InputError, match=r"training\.frozen_linear: float8 needs a GPU of CUDA capability 8\.9 or more"
    ):
        build_trainer(recipe, build_accelerator(recipe, tmp_path), load_clip(recipe.tower.name), tmp_path)


def test_a_denoiser_that_is_trained_is_refused(tiny: Tiny) -> None:
    stages = [{"train": ["projection", "denoiser"], "steps": 1}, {"steps": 1}]
    assert tiny(stages=stages).training.frozen_linear == "frozen_dtype"
    with pytest.raises(InputError, match=r"'training\.frozen_linear' is float8, but a stage trains the denoiser"):
        tiny("training.frozen_linear=float8", stages=stages)


def test_a_resumed_run_may_not_switch() -> None:
    assert "training.frozen_linear" not in FREE_ON_RESUME
