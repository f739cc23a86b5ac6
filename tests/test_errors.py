import ast
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest
from torch.utils.data import DataLoader, Dataset

from diva.errors import Damaged, Missing, NotInstalled, did_you_mean, first_line, from_worker, kinds, printable

ROOT = Path(__file__).parents[1]
PACKAGES = ("diva", "benchmarks", "downstream", "examples")
KINDS = {kind.__name__ for kind in kinds().values()}

FEW = ["linear", "san", "upernet"]
MANY = [f"model-{number:03}" for number in range(150)]


@pytest.mark.parametrize(
    ("name", "valid", "says"),
    [
        ("liner", FEW, "did you mean 'linear'?"),
        ("mask", FEW, "valid: linear, san, upernet"),
        ("modle-007", MANY, "did you mean 'model-007'?"),
        ("runs/linear", FEW, "no such file or folder, so check the path"),
        ("diva/opena", ["diva/openai", "dcr/openai"], "did you mean 'diva/openai'?"),
    ],
)
def test_what_is_near_is_offered(name: str, valid: list[str], says: str) -> None:
    assert did_you_mean(name, valid) == says


def test_of_many_names_that_are_all_far_only_five_are_offered() -> None:
    says = did_you_mean("149", MANY)
    assert says.startswith("the nearest of 150 names: model-149, ")
    assert says.count("model-") == 5


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("café 漢字 a×b.jpg", "café 漢字 a×b.jpg"),
        ("a\nb\r\x1b[31m\x00", r"a\nb\r\x1b[31m\x00"),
        ("\udcff\u202e\u2028", r"\udcff\u202e\u2028"),
    ],
)
def test_what_a_terminal_would_act_on_is_written_out(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_an_error_that_says_nothing_is_known_by_its_kind() -> None:
    assert first_line(RuntimeError("first\nsecond")) == "first"
    assert first_line(AssertionError()) == first_line(AssertionError("\n")) == "AssertionError"


def _raised() -> Iterator[tuple[str, str]]:
    """Yield every call of a class of `diva.errors` in the packages: its place, and the class."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", node.func.id


def test_every_error_has_a_code_and_every_code_is_used() -> None:
    raised = [(place, name) for place, name in _raised() if name.endswith("Error") or name in KINDS]
    assert [place for place, name in raised if name in ("DivaError", "InputError", "RunError")] == []
    assert {name for _, name in raised} >= KINDS


def test_an_error_is_data_and_one_sentence() -> None:
    error = Missing(Path("set/a.json"), "line 3", "image", "is not given; add it")
    assert (error.code, error.file, error.field) == ("missing", Path("set/a.json"), "image")
    assert str(error) == "set/a.json: line 3: image: is not given; add it"
    assert str(error.within("--data")) == "--data: set/a.json: line 3: image: is not given; add it"
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.where, str(again)) == (Missing, error.where, str(error))
    assert (NotInstalled("x").code, NotInstalled("x").where, NotInstalled("x").field) == ("not-installed", (), None)


def test_an_error_of_a_data_worker_keeps_its_kind_and_its_sentence(tmp_path: Path) -> None:
    class Images(Dataset[int]):
        def __len__(self) -> int:
            return 1

        def __getitem__(self, place: int) -> int:
            raise Damaged(tmp_path / "a.png", "cannot be decoded; fetch it again")

    with pytest.raises(Damaged) as caught:
        next(iter(DataLoader(Images(), num_workers=1)))
    assert str(from_worker(caught.value)) == f"{tmp_path}/a.png: cannot be decoded; fetch it again"
    assert str(from_worker(Damaged("a.png", "is cut short"))) == "a.png: is cut short"
