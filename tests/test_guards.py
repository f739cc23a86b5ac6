"""What only a guarded module may call, read off the syntax trees: nothing under test is imported.

Files from elsewhere are data, and nothing that is not ours is replaced (SECURITY.md). Each way around that has one
module which guards it; a call of the kind anywhere else is an error here, with the guard's name.
"""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("diva", "benchmarks", "downstream")


class Guard(NamedTuple):
    """Calls of one kind.

    Attributes:
        calls: their full names, or a method's name behind a dot.
        remedy: what to call in their place.
        allowed: the modules that may, each with its reason.
    """

    calls: tuple[str, ...]
    remedy: str
    allowed: Mapping[str, str] = {}


GUARDS = (
    Guard(
        ("PIL.Image.open",),
        "diva.images.read_image or decode_image",
        {"diva/images.py": "the guard itself"},
    ),
    Guard((".from_pretrained",), "diva.pretrained.load_pretrained", {"diva/pretrained.py": "the guard itself"}),
    Guard(("omegaconf.*",), "diva.recipes.load_recipe: its `${field}` reaches no environment"),
    Guard(
        ("os.rename", "os.renames", "os.replace", ".rename", ".replace(path)", "shutil.move"),
        "diva.atomic.replacing or put_folder",
        {"diva/atomic.py": "the guard itself"},
    ),
    Guard(
        ("shutil.rmtree", "shutil.copytree", "os.removedirs"),
        "diva.atomic.discard, complete_folder or tempfile.TemporaryDirectory",
        {"diva/atomic.py": "the guard itself"},
    ),
    Guard(
        (".unlink", "os.remove", "os.unlink"),
        "diva.atomic.discard",
        {
            "diva/atomic.py": "the guard itself",
            "diva/lock.py": "the lock's own file",
            "diva/training/run.py": "metrics of a run that never reached a checkpoint",
        },
    ),
    Guard(
        ("subprocess.*",),
        "a step of a pipeline, which diva.pipelines.process starts",
        {
            "diva/pipelines/process.py": "the guard itself",
            "diva/pipelines/work.py": "waits for what the guard started",
        },
    ),
    Guard(
        ("torch.load", "torch.jit.load"),
        "diva.towers.checkpoint.read_content",
        {"diva/towers/checkpoint.py": "the guard itself: tensors and plain values, TorchScript where allowed"},
    ),
    Guard(
        (
            *(
                f"{module}.{name}"
                for module in ("pickle", "cloudpickle", "dill", "joblib")
                for name in ("load", "loads")
            ),
            "pickle.Unpickler",
            "numpy.load(allow_pickle=True)",
            "(weights_only=False)",
        ),
        "safetensors",
    ),
    Guard(
        ("yaml.load", "yaml.load_all", "yaml.full_load", "yaml.unsafe_load", "yaml.safe_load"),
        "diva.documents.read_yaml",
        {"diva/documents.py": "the guard itself"},
    ),
    Guard(
        (".print(markup)",),
        "rich.text.Text: a path may hold what rich takes for markup",
        {"diva/training/run.py": "its console takes no markup"},
    ),
    Guard(("json.load",), "diva.documents.read_json, which has limits"),
    Guard(("eval", "exec", "compile", "(trust_remote_code=True)", "(shell=True)", "os.system"), "data, not code"),
    Guard(
        ("os.path.expandvars", ".extractall", ".extract"),
        "the words that the user wrote; a tar's members where they lie",
    ),
)


def violations(files: Mapping[str, str]) -> list[str]:
    """Return a sentence for every guarded call outside its guard, with its place; `files` are path → source."""
    return [
        f"{path}:{line}: calls {call}; use {guard.remedy}"
        for path, source in files.items()
        for line, names in _calls(ast.parse(source))
        for guard in GUARDS
        if path not in guard.allowed
        for call in guard.calls
        if call in names
    ]


def _calls(tree: ast.AST) -> Iterator[tuple[int, set[str]]]:
    """Yield the line of each call, and of each function handed on, with all its possible names in `GUARDS`."""
    imported = dict(_imported(tree))
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
                yield node.lineno, set(_names(node, imported))
            continue
        full, method, package = _names(node.func, imported)
        options = {
            f"({each.arg}={each.value.value})" for each in node.keywords if isinstance(each.value, ast.Constant)
        }
        names = {full, method, package} | options | {f"{full}{option}" for option in options}
        if method == ".print" and node.args and isinstance(node.args[0], ast.JoinedStr):
            names |= {".print(markup)"} - {".print(markup)" for each in options if each == "(markup=False)"}
        if method == ".replace" and len(node.args) == 1 and not node.keywords:  # a text's has two
            names.add(".replace(path)")
        yield node.lineno, names


def _names(node: ast.expr, imported: Mapping[str, str]) -> tuple[str, str, str]:
    """Return the full name of a function, its name as a method, and that of its package."""
    first, *rest = _dotted(node)
    full = ".".join([imported.get(first, first), *rest])
    return full, f".{rest[-1]}" if rest else "", f"{full.partition('.')[0]}.*"


def _imported(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield each name that an import gives, and what it stands for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((name.asname, name.name) for name in node.names if name.asname)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from ((name.asname or name.name, f"{node.module}.{name.name}") for name in node.names)


def _dotted(node: ast.expr) -> list[str]:
    match node:
        case ast.Name(id=name):
            return [name]
        case ast.Attribute(value=value, attr=name):
            return [*_dotted(value), name]
    return [""]  # a method of what some expression gives


def test_guarded_calls_are_made_by_their_guards_alone() -> None:
    paths = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    files = {path.relative_to(ROOT).as_posix(): path.read_text() for path in paths}
    assert "diva/images.py" in files
    assert violations(files) == []


def test_every_module_that_may_call_does_so() -> None:
    for guard in GUARDS:
        for path in guard.allowed:
            names = set().union(*(found for _, found in _calls(ast.parse((ROOT / path).read_text()))))
            assert names & set(guard.calls), f"{path} needs no leave to call {', '.join(guard.calls)}"


FOUND = {
    "from PIL import Image\nImage.open(p)": "PIL.Image.open",
    "from PIL import Image as Picture\nPicture.open(p)": "PIL.Image.open",
    "import PIL.Image\nPIL.Image.open(p)": "PIL.Image.open",
    "from shutil import rmtree as gone\ngone(p)": "shutil.rmtree",
    "AutoModel.from_pretrained(p)": ".from_pretrained",
    "make().from_pretrained(p)": ".from_pretrained",
    "from omegaconf import OmegaConf as Config\nConfig.create(c)": "omegaconf.*",
    "import omegaconf\nomegaconf.OmegaConf.load(p)": "omegaconf.*",
    'console.print(f"wrote {p}", soft_wrap=True)': ".print(markup)",
    "(a / b).rename(c)": ".rename",
    "path.replace(other)": ".replace(path)",
    "import torch as t\nt.load(p)": "torch.load",
    "import numpy as np\nnp.load(p, allow_pickle=True)": "numpy.load(allow_pickle=True)",
    "f(weights_only=False)": "(weights_only=False)",
    "f(trust_remote_code=True)": "(trust_remote_code=True)",
    "eval(text)": "eval",
    "from PIL import Image\nread = Image.open": "PIL.Image.open",
    "import shutil\nremove = {'folder': shutil.rmtree}": "shutil.rmtree",
    "path.unlink()": ".unlink",
    "from subprocess import Popen\nPopen(words)": "subprocess.*",
}


@pytest.mark.parametrize(("source", "call"), FOUND.items())
def test_a_guarded_call_is_found_by_whatever_name(source: str, call: str) -> None:
    assert any(call in found for found in violations({"diva/a.py": source})), violations({"diva/a.py": source})


def test_what_only_looks_like_one_is_let_through() -> None:
    source = """
from dataclasses import replace
import numpy as np
text.replace("a", "b"); replace(item, key=1); clock.replace(tzinfo=None); path.open("rb"); model.eval()
np.load(file, allow_pickle=False); re.compile("a"); console.print(Text(f"{p}")); console.print(f"{p}", markup=False)
"""
    assert violations({"diva/a.py": source}) == []
