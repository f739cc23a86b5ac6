"""Who may import whom (CONTRIBUTING.md), read off the syntax trees: nothing under test is imported.

A rule about our own modules, or about torch, holds however many of them lie in between. Importing a module runs the
packages above it as well, so `import diva.towers.zoo` reaches whatever `diva/towers/__init__.py` imports.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {"diva": "diva", "benchmarks": "diva_benchmarks", "downstream": "diva_downstream"}  # folder → its name
TRAINER = "diva.training"
MEASURES_TRAINING = ("diva_benchmarks.miniworld", "diva_benchmarks.throughput")
ADAPTS = ("diva_benchmarks.pairs.ttm", "diva_benchmarks.pairs.diffusion_tta")  # while it tests
CONFINED = {
    "diffusers": ("diva.denoisers", *MEASURES_TRAINING),
    "mmseg": ("diva_downstream.segmentation",),
    "mmengine": ("diva_downstream.segmentation",),
    "lm_eval": ("diva_downstream.llava",),
}
BRINGS_TORCH = (
    "torch",
    "torchvision",
    "safetensors.torch",
    "open_clip",
    "timm",
    "transformers",
    "diffusers",
    "accelerate",
    "webdataset",
    "mmseg",
    "mmengine",
    "lm_eval",
)
LOWER = ("diva.errors", "diva.results", "diva.recipes", "diva.run_folder")
TORCHLESS = (*LOWER, "diva.tasks", "diva.evaluation", "diva_benchmarks.report")
LIGHT = frozenset({*sys.stdlib_module_names, "diva", "typer", "rich"})


@dataclass(frozen=True)
class Import:
    """An import statement; `lazy` where it runs inside a function."""

    where: str
    target: str
    lazy: bool


class Tree:
    """The imports and the training calls of Python files, given as path → source."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self.imports: dict[str, list[Import]] = {_module(path): [] for path in files}
        self.training_calls: list[tuple[str, str, str]] = []
        self.private_parts: list[tuple[str, str, str]] = []
        self._packages = {_module(path) for path in files if path.endswith("__init__.py")}
        for path, source in files.items():
            root = ast.parse(source)
            self._read(path, root, lazy=False)
            self._read_private_parts(path, root)

    def _read_private_parts(self, path: str, root: ast.AST) -> None:
        """Note what is read of others' underscored names, those apart that the file itself defines."""
        own = {node.name for node in ast.walk(root) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
        for node in ast.walk(root):
            match node:
                case ast.Attribute(value=ast.Name(id="self" | "cls")):
                    pass
                case ast.Attribute(attr=name) if name == "__mro__" or (name[0] == "_" and name[:2] != "__"):
                    if name not in own | {"_replace", "_asdict", "_fields"}:  # a named tuple's are public
                        self.private_parts.append((_module(path), f"{path}:{node.lineno}", name))

    def _read(self, path: str, node: ast.AST, *, lazy: bool) -> None:
        module, where = _module(path), f"{path}:{getattr(node, 'lineno', 0)}"
        lazy = lazy or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for target in _imported(node, module, is_package=module in self._packages):
            self.imports[module].append(Import(where, target, lazy))
        match node:
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                return  # never run
            case ast.Call(func=ast.Attribute(attr="backward" | "step" as method)):
                self.training_calls.append((module, where, method))
        for child in ast.iter_child_nodes(node):
            self._read(path, child, lazy=lazy)

    def below(self, *roots: str) -> list[str]:
        """Return the modules that are one of `roots` or lie in one."""
        return [module for module in self.imports if _within(module, *roots)]

    def reached(self, start: str, *, lazy: bool = True) -> Iterator[Import]:
        """Yield every import that importing `start` leads to; with `lazy`, also those inside functions."""
        waiting, seen = [start], set[str]()
        while waiting:
            for module in self._run_by(waiting.pop()) - seen:
                seen.add(module)
                for found in self.imports[module]:
                    if lazy or not found.lazy:
                        yield found
                        waiting.append(found.target)

    def benchmark(self, name: str) -> str | None:
        """Return the benchmark or pipeline that `name` belongs to; None for the modules that they share."""
        parts = name.split(".")
        part = ".".join(parts[:2])
        if len(parts) == 1 or not _within(name, "diva_benchmarks", "diva_downstream"):
            return None
        return None if part in self.imports and part not in self._packages else part

    def _run_by(self, target: str) -> set[str]:
        """Return the modules of ours that importing `target`, a module or a name in one, runs."""
        parts = target.split(".")
        return {".".join(parts[:length]) for length in range(1, len(parts) + 1)} & self.imports.keys()


def _module(path: str) -> str:
    folder, *parts = path.removesuffix(".py").removesuffix("/__init__").split("/")
    return ".".join([PACKAGES.get(folder, folder), *parts])


def _imported(node: ast.AST, module: str, *, is_package: bool) -> list[str]:
    match node:
        case ast.Import(names=names):
            return [name.name for name in names]
        case ast.ImportFrom(module=base, names=names, level=level):
            parts = module.split(".")
            above = parts[: len(parts) - level + is_package] if level else []
            return [".".join([*above, *([base] if base else []), name.name]) for name in names]
        case ast.Call(
            func=ast.Attribute(attr="import_module") | ast.Name(id="import_module" | "__import__"),
            args=[ast.Constant(value=str(name)), *_],
        ):
            return [name]
    return []


def _within(name: str, *roots: str) -> bool:
    return any(name == root or name.startswith(f"{root}.") for root in roots)


def violations(files: Mapping[str, str]) -> list[str]:
    """Return a sentence for every import or call that breaks a rule, with its place."""
    tree = Tree(files)
    return sorted({broken for rule in RULES for broken in rule(tree)})


def _the_core_stands_alone(tree: Tree) -> Iterator[str]:
    for module, imports in tree.imports.items():
        for each in imports:
            in_a_verb = _within(module, "diva.cli", "diva.api") and each.lazy
            if (
                _within(module, "diva")
                and _within(each.target, "diva_benchmarks", "diva_downstream")
                and not in_a_verb
            ):
                yield f"{each.where}: imports {each.target}; diva imports neither benchmarks nor downstream"


def _a_heavy_library_has_one_home(tree: Tree) -> Iterator[str]:
    for module, imports in tree.imports.items():
        for each in imports:
            library = each.target.split(".")[0]
            if library in CONFINED and not _within(module, *CONFINED[library]):
                yield f"{each.where}: imports {library}; only {', '.join(CONFINED[library])} may"


def _towers_know_nothing_of_what_is_built_on_them(tree: Tree) -> Iterator[str]:
    for module in tree.below("diva.towers", *LOWER):
        for each in tree.reached(module):
            if _within(each.target, "diva.condition", "diva.denoisers", "diva.feedback", TRAINER):
                yield f"{each.where}: {module} reaches {each.target}; the lower layer knows nothing of the upper"


def _the_report_needs_no_torch(tree: Tree) -> Iterator[str]:
    for module in tree.below(*TORCHLESS):
        for each in tree.reached(module):
            if _within(each.target, *BRINGS_TORCH):
                yield f"{each.where}: {module} reaches {each.target}; it must work without torch"


def _a_task_loads_without_torch(tree: Tree) -> Iterator[str]:
    for module in tree.imports:
        if module.endswith((".task", ".section")) or module == "diva_downstream.tasks":
            for each in tree.reached(module, lazy=False):
                if _within(each.target, *BRINGS_TORCH):
                    yield f"{each.where}: {module} reaches {each.target}; the report loads every task without torch"
                if module.endswith(".task") and _within(each.target, "scipy", "matplotlib"):
                    yield f"{each.where}: {module} reaches {each.target}; `diva bench --help` loads every task"


def _measuring_needs_no_trainer(tree: Tree) -> Iterator[str]:
    for module in tree.below("diva_benchmarks", "diva_downstream"):
        for each in tree.reached(module):
            if _within(each.target, TRAINER) and not _within(module, *MEASURES_TRAINING):
                yield f"{each.where}: {module} reaches {each.target}; measuring needs no trainer"


def _benchmarks_do_not_import_each_other(tree: Tree) -> Iterator[str]:
    for module in tree.below("diva_benchmarks", "diva_downstream"):
        for each in tree.reached(module):
            if tree.benchmark(each.target) not in (None, tree.benchmark(module)):
                yield f"{each.where}: {module} reaches {each.target}; benchmarks do not import each other"


def _the_command_line_answers_at_once(tree: Tree) -> Iterator[str]:
    for module in tree.below("diva.cli"):
        for each in tree.reached(module, lazy=False):
            if each.target.split(".")[0] not in LIGHT:
                yield f"{each.where}: {module} reaches {each.target}; the command line answers at once"


def _only_what_trains_calls_backward_and_step(tree: Tree) -> Iterator[str]:
    for module, where, method in tree.training_calls:
        # a sampler's step goes from noise to image
        denoises = method == "step" and _within(module, "diva.denoisers.sampling")
        if not _within(module, TRAINER, *MEASURES_TRAINING, *ADAPTS) and not denoises:
            yield f"{where}: calls .{method}(); only what trains does"


def _private_parts_of_libraries_are_in_one_place(tree: Tree) -> Iterator[str]:
    for module, where, name in tree.private_parts:
        if module.rpartition(".")[2] != "compat":
            yield f"{where}: uses {name}; private parts of libraries belong into compat.py"


RULES = (
    _the_core_stands_alone,
    _a_heavy_library_has_one_home,
    _towers_know_nothing_of_what_is_built_on_them,
    _the_report_needs_no_torch,
    _a_task_loads_without_torch,
    _measuring_needs_no_trainer,
    _benchmarks_do_not_import_each_other,
    _the_command_line_answers_at_once,
    _only_what_trains_calls_backward_and_step,
    _private_parts_of_libraries_are_in_one_place,
)


def test_the_tree_keeps_the_rules() -> None:
    paths = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    files = {path.relative_to(ROOT).as_posix(): path.read_text() for path in paths}
    assert "diva/cli/__init__.py" in files
    assert violations(files) == []


def test_recipes_and_results_work_without_torch_in_fact() -> None:
    script = "import sys, diva.recipes, diva.results; assert 'torch' not in sys.modules, 'torch was imported'"
    subprocess.run([sys.executable, "-c", script], check=True)


BROKEN = {
    "diva imports a benchmark": (
        {"diva/exporting/__init__.py": "def f():\n    from diva_benchmarks.mmvp_vlm import run"},
        "diva/exporting/__init__.py:2: imports diva_benchmarks.mmvp_vlm.run; diva imports neither",
    ),
    "the command line imports a benchmark at its top": (
        {"diva/cli.py": "import diva_benchmarks.mmvp_vlm"},
        "diva/cli.py:1: imports diva_benchmarks.mmvp_vlm; diva imports neither",
    ),
    "a tower imports a denoiser": (
        {"diva/towers/clip.py": "import diva.denoisers"},
        "diva.towers.clip reaches diva.denoisers",
    ),
    "a tower reaches the feedback step through another module": (
        {"diva/towers/clip.py": "from ..data import x", "diva/data.py": "import diva.feedback"},
        "diva/data.py:1: diva.towers.clip reaches diva.feedback",
    ),
    "diffusers outside the denoisers": (
        {"diva/miniworld/a.py": "from diffusers import UNet2DConditionModel"},
        "diva/miniworld/a.py:1: imports diffusers; only diva.denoisers",
    ),
    "mmseg outside its pipeline": (
        {"downstream/llava/a.py": "import mmseg.apis"},
        "downstream/llava/a.py:1: imports mmseg; only diva_downstream.segmentation may",
    ),
    "mmengine by its name as a text": (
        {"benchmarks/a.py": "import importlib\nimportlib.import_module('mmengine.runner')"},
        "benchmarks/a.py:2: imports mmengine; only diva_downstream.segmentation may",
    ),
    "lm_eval in the core": ({"diva/a.py": "import lm_eval"}, "imports lm_eval; only diva_downstream.llava may"),
    "the report imports torch": (
        {"benchmarks/report/__init__.py": "", "benchmarks/report/plot.py": "def f():\n    import torch.nn"},
        "diva_benchmarks.report.plot reaches torch.nn; it must work without torch",
    ),
    "a task's section imports torch": (
        {"benchmarks/mmvp_vlm/section.py": "import torch"},
        "diva_benchmarks.mmvp_vlm.section reaches torch; the report loads every task without torch",
    ),
    "the result schema reaches torch through the package above what it imports": (
        {
            "diva/results.py": "from diva.towers.checkpoint import file_sha256",
            "diva/towers/__init__.py": "from diva.towers.clip import Clip",
            "diva/towers/checkpoint.py": "",
            "diva/towers/clip.py": "from torch import Tensor",
        },
        "diva/towers/clip.py:1: diva.results reaches torch.Tensor",
    ),
    "a recipe reads safetensors into torch": (
        {"diva/recipes/load.py": "import safetensors.torch"},
        "diva.recipes.load reaches safetensors.torch",
    ),
    "a benchmark imports another": (
        {
            "benchmarks/zero_shot/__init__.py": "",
            "benchmarks/zero_shot/a.py": "from diva_benchmarks.mmvp_vlm.score import pairs_right",
            "benchmarks/mmvp_vlm/__init__.py": "",
        },
        "diva_benchmarks.zero_shot.a reaches diva_benchmarks.mmvp_vlm.score.pairs_right",
    ),
    "a benchmark reaches another through a shared module": (
        {
            "benchmarks/__init__.py": "",
            "benchmarks/zero_shot/__init__.py": "import diva_benchmarks.encoder",
            "benchmarks/encoder.py": "import diva_benchmarks.mmvp_vlm",
            "benchmarks/mmvp_vlm/__init__.py": "",
        },
        "diva_benchmarks.zero_shot reaches diva_benchmarks.mmvp_vlm",
    ),
    "a pipeline imports a benchmark": (
        {"downstream/llava/__init__.py": "import diva_benchmarks.mmvp_vlm"},
        "diva_downstream.llava reaches diva_benchmarks.mmvp_vlm",
    ),
    "a benchmark imports the trainer": (
        {"benchmarks/zero_shot/__init__.py": "def f():\n    from diva.training.trainer import Trainer"},
        "diva_benchmarks.zero_shot reaches diva.training.trainer.Trainer",
    ),
    "a task that is slow to load": (
        {"benchmarks/pairs/task.py": "from scipy.stats import binom"},
        "diva_benchmarks.pairs.task reaches scipy.stats.binom; `diva bench --help` loads",
    ),
    "the command line loads something heavy": (
        {"diva/cli.py": "import diva.show", "diva/show.py": "import numpy"},
        "diva/show.py:1: diva.cli reaches numpy; the command line answers at once",
    ),
    "a gradient outside the trainer": (
        {"diva/feedback.py": "loss.backward()"},
        "diva/feedback.py:1: calls .backward(); only what trains does",
    ),
    "a private part of a library": (
        {"diva/training/a.py": "from accelerate.state import AcceleratorState\nAcceleratorState._reset_state()"},
        "diva/training/a.py:2: uses _reset_state; private parts of libraries belong into compat.py",
    ),
    "a step outside the trainer": (
        {"benchmarks/a.py": "def f(self):\n    self.optimizer.step()"},
        "benchmarks/a.py:2: calls .step(); only what trains does",
    ),
}


@pytest.mark.parametrize(("files", "says"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_rule_is_told_with_its_place(files: dict[str, str], says: str) -> None:
    assert any(says in found for found in violations(files)), violations(files)


def test_what_the_rules_allow_is_let_through() -> None:
    allowed = {
        "diva/__init__.py": "",
        "diva/cli.py": "import sys, typer\nfrom diva.errors import InputError\n"
        "def bench():\n    from diva_benchmarks.mmvp_vlm.command import run\n"
        "def train():\n    from diva.training import train",
        "diva/errors.py": "import difflib",
        "diva/results.py": "import pydantic\nfrom diva.errors import RunError",
        "diva/recipes/__init__.py": "from .load import load_recipe",
        "diva/recipes/load.py": "import yaml",
        "diva/towers/__init__.py": "import torch, open_clip\nfrom diva.errors import InputError",
        "diva/denoisers/sd.py": "import diffusers",
        "diva/compat.py": "import torch\ntorch._dynamo.config.recompile_limit = 9",
        "diva/augment.py": "def _own():\n    self._x = other._own()._replace(a=1)",
        "diva/training/run.py": "import diva.towers, diva.denoisers.sd\nloss.backward()\noptimizer.step()",
        "benchmarks/miniworld/__init__.py": "",
        "benchmarks/miniworld/fit.py": "value.backward()",
        "benchmarks/throughput/__init__.py": "",
        "benchmarks/throughput/updates.py": "import diva.training.run, diffusers",
        "benchmarks/__init__.py": "",
        "benchmarks/statistics.py": "import numpy",
        "benchmarks/mmvp_vlm/__init__.py": "",
        "benchmarks/mmvp_vlm/score.py": "import diva.evaluation.statistics, diva.towers",
        "benchmarks/mmvp_vlm/command.py": "from . import score\nfrom diva_benchmarks.mmvp_vlm.score import right",
        "benchmarks/report/__init__.py": "from diva.results import read_result\nimport matplotlib",
        "downstream/llava/tasks.py": "import lm_eval",
        "downstream/segmentation/train.py": "from mmengine.runner import Runner",
    }
    assert violations(allowed) == []
