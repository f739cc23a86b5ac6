"""LLaVA-Bench's reviews: what the judge is told, how its scores are read, and a cache of what it said."""

import hashlib
import json
import math
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from diva.atomic import replacing
from diva.documents import read_json, read_json_lines
from diva.errors import Damaged
from diva_downstream.llava.evaluation.judge import SYSTEM, TEMPERATURE, TOKENS, Judge
from diva_downstream.llava.evaluation.scored import Answered

RULE_FILE = "rule.json"  # in LLaVA's repository: llava/eval/table/rule.json
Category = Literal["conv", "detail", "complex"]
UNPARSABLE = -1.0
OWN_ROLE = "Assistant"
OWN_PROMPT = (
    "Above are a description of an image, a user's question about it, and the answers of two AI assistants, who saw"
    " the image itself. Judge how helpful, relevant, accurate and detailed each answer is, and give each assistant"
    " one overall score from 1 to 10, where more is better.\n"
    "Write on the first line nothing but the two scores, that of Assistant 1 and that of Assistant 2, with a space"
    " between them. Explain your judgement from the next line on; do not favour an answer for its place."
)


class Rule(NamedTuple):
    """How one category is to be judged."""

    role: str
    prompt: str


class Rules(NamedTuple):
    """The rule of each category, and what the protocol calls them."""

    name: str
    of_category: dict[str, Rule]


class Review(NamedTuple):
    """What the judge said of one question, and its scores: the reference answer's first, then ours."""

    content: str
    reference: float
    ours: float

    @property
    def parsed(self) -> bool:
        """Whether two scores could be read."""
        return self.reference != UNPARSABLE


def read_rules(folder: Path) -> Rules:
    """Return LLaVA's own rules where its `rule.json` lies in the benchmark's folder, else this suite's.

    Raises:
        InputError: the file lacks the rule of a category.
    """
    path, categories = folder / RULE_FILE, get_args(Category)
    if not path.is_file():
        return Rules("own rule", dict.fromkeys(categories, Rule(OWN_ROLE, OWN_PROMPT)))
    try:
        content = read_json(path)
        rules = {name: content[f"llava_bench_{name}"] for name in categories}
        return Rules(RULE_FILE, {name: Rule(rule["role"], rule["prompt"]) for name, rule in rules.items()})
    except (KeyError, TypeError) as error:
        raise Damaged(path, f"lacks the rule of a category ({error}); fetch LLaVA's file again") from error


def prompt(answered: Answered, rule: Rule) -> str:
    """Return what the judge is to read: context, question, reference answer, our answer and the rule."""
    document, answer = answered
    parts = [("Context", document["context"]), ("Question", document["question"])]
    answers = [
        f"[{rule.role} {number}]\n{text}\n\n[End of {rule.role} {number}]"
        for number, text in ((1, document["reference"]), (2, answer))
    ]
    return "\n\n".join([*(f"[{head}]\n{text}" for head, text in parts), *answers, f"[System]\n{rule.prompt}", ""])


def parse_scores(content: str) -> tuple[float, float]:
    """Return the two numbers on the first line with one space or comma between them; else −1 twice.

    This is LLaVA's own rule, strict as it is ("8, 9" is none), so that its figures can be compared; only "nan" and
    "inf", which it would take for numbers, are refused.
    """
    words = content.split("\n")[0].replace(",", " ").split(" ")
    try:
        first, second = (float(word) for word in words)
    except ValueError:
        return UNPARSABLE, UNPARSABLE
    return (first, second) if math.isfinite(first) and math.isfinite(second) else (UNPARSABLE, UNPARSABLE)


class Reviews:
    """Every review so far, in a file of one JSON object a line that grows with each."""

    def __init__(self, path: Path) -> None:
        """Read the file, if it is there.

        Raises:
            InputError: it holds no review, or a line is not one; a run that is stopped cuts no line off.
        """
        self._path = path
        self._known: dict[str, dict[str, Any]] = {}
        if not path.is_file():
            return
        for number, entry in read_json_lines(path):
            texts = [entry.get(name) for name in ("key", "content")] if isinstance(entry, dict) else [None]
            if not all(isinstance(text, str) for text in texts):
                raise Damaged(f"{path}, line {number}", "is not a review; remove the line or the file")
            self._known[entry["key"]] = entry
        if not self._known:
            raise Damaged(path, "holds no review; remove the file")

    def of(self, answered: Answered, judge: Judge, rules: Rules) -> Review:
        """Return the review of an answer: the one that is known, else the judge's.

        Raises:
            RunError: the judge cannot be asked, or the file cannot be written to.
        """
        category = answered.document["category"]
        content = prompt(answered, rules.of_category[category])
        key = hashlib.sha256(json.dumps([judge.model, SYSTEM, TEMPERATURE, TOKENS, content]).encode()).hexdigest()
        if key not in self._known:
            said = judge.review(content)
            reference, ours = parse_scores(said)
            self._known[key] = {
                "question_id": answered.document["question_id"],
                "category": f"llava_bench_{category}",
                "judge": judge.model,
                "content": said,
                "tuple": [reference, ours],
                "key": key,
            }
            with replacing(self._path) as temporary:
                temporary.write_text("".join(f"{json.dumps(entry)}\n" for entry in self._known.values()))
        said = self._known[key]["content"]
        return Review(said, *parse_scores(said))
