"""The table of hours and memory in docs/llava.md, against LLaVA's own times on eight A100s."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parents[3] / "docs"


@pytest.fixture(scope="module")
def cost() -> ModuleType:
    spec = importlib.util.spec_from_file_location("llava_cost", DOCS / "llava_cost.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


def test_the_page_shows_what_the_script_computes(cost: ModuleType) -> None:
    assert cost.render() in (DOCS / "llava.md").read_text()


@pytest.mark.parametrize(
    ("size", "run", "published"),
    [("1.5-7b", "stage1", 3.5), ("1.5-13b", "stage1", 5.5), ("1.5-7b", "stage2", 10), ("1.5-13b", "stage2", 20)],
)
def test_the_hours_agree_with_the_authors(size: str, run: str, published: float, cost: ModuleType) -> None:
    assert cost.hours(size, run, 8) == pytest.approx(published, rel=0.12)


@pytest.mark.parametrize(("size", "parameters"), [("0.5b", 0.494e9), ("1.5-7b", 6.738e9), ("1.5-13b", 13.016e9)])
def test_the_shapes_have_the_published_numbers_of_parameters(
    size: str, parameters: float, cost: ModuleType
) -> None:
    assert cost.SHAPES[size].stored == pytest.approx(parameters, rel=2e-3)
