"""LLaVA-NeXT and LLaVA-OneVision: swapped, trained and asked as transformers' own classes compute them."""

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from diva.errors import Mismatch, Unsupported
from diva_downstream.llava.chat import Chat
from diva_downstream.llava.conversation import Conversation, Turn
from diva_downstream.llava.convert import convert
from diva_downstream.llava.data import Collator, ConversationData, dealt_out
from diva_downstream.llava.encode import IGNORED, encode
from diva_downstream.llava.evaluation.ask import Answerer, by_transformers
from diva_downstream.llava.evaluation.model import read_model
from diva_downstream.llava.recipe import DataSection, LlavaRecipe
from diva_downstream.llava.record import read_record
from diva_downstream.llava.swap import swap
from diva_downstream.llava.tasks.graded import doc_to_image
from diva_downstream.llava.train import train
from tests.downstream.llava.evaluation.test_graded import shown, table
from tests.downstream.llava.test_train import recipe
from tests.fixtures.anyres import KINDS, asked, inputs_of, processor_of, write
from tests.fixtures.images import crops

COLOURS = ("red", "blue")
CHAT = {"template": "chat"}


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def folder(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(kind, tmp_path_factory.mktemp(kind))


@pytest.fixture(scope="module")
def swapped(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with its own tower in it again, whole."""
    out = tmp_path_factory.mktemp("swapped") / "llava"
    swap(folder, str(folder.parent / "tower"), out)
    return out


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    wide, tall, small = crops(3, 100)
    return [wide.resize((90, 40)), tall.resize((60, 160)), small.resize((30, 30))]


@pytest.fixture(scope="module")
def talks(pictures: list[Image.Image], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Conversations about one picture, about none, about two in one question, and about three in two."""
    data = tmp_path_factory.mktemp("talks")
    for number, picture in enumerate(pictures):
        picture.save(data / f"{number}.png")
    said = [
        (["<image>\nWhat is it?", "A ball."], "0.png"),
        (["Hi", "Hello."], None),
        (["What are <image> and <image>?", "Two balls."], ["1.png", "0.png"]),
        (["<image>\nWhat is it?", "A box.", "<image><image>\nAnd these?", "Balls."], ["2.png", "1.png", "0.png"]),
    ]
    (data / "talks.json").write_text(json.dumps([record(*each) for each in said]))
    return data


def record(texts: list[str], image: str | list[str] | None) -> dict[str, Any]:
    turns = [{"from": ("human", "gpt")[place % 2], "value": text} for place, text in enumerate(texts)]
    return {"conversations": turns} | ({"image": image} if image else {})


def samples_of(folder: Path, data: Path, **fields: Any) -> ConversationData:
    section = DataSection(conversations=str(data / "talks.json"), images=str(data), **(CHAT | fields))
    return ConversationData(section, processor_of(folder), seed=0)


def of_kind(settings: LlavaRecipe, **fields: Any) -> LlavaRecipe:
    return settings.model_copy(update={"data": settings.data.model_copy(update=CHAT | fields)})


def test_the_same_tower_changes_nothing_and_another_does(
    kind: str, folder: Path, swapped: Path, pictures: list[Image.Image], tmp_path: Path
) -> None:
    swap(folder, str(KINDS[kind].tower(tmp_path / "tower", seed=3)), tmp_path / "other")
    for seen in (pictures[:1], pictures[:2]):
        before, same, other = (asked(kind, each, *seen) for each in (folder, swapped, tmp_path / "other"))
        rows = before.shape[-1]
        assert before.shape[1] > 2 * 16
        torch.testing.assert_close(same[..., :rows], before)
        assert (other[..., :rows] - before).abs().max() > 1e-3


def test_a_prompt_is_the_templates_token_by_token_with_the_loss_on_answers_and_their_end(
    kind: str, folder: Path
) -> None:
    processor = processor_of(folder)
    texts = ("<image>\nWhat is it?", "A ball.", "Is it red?", "No.")
    turns = [Turn(("human", "gpt")[place % 2], text) for place, text in enumerate(texts)]  # type: ignore[arg-type]
    parts = Chat(processor.tokenizer, processor.chat_template, folder, says_end=False).pieces(
        Conversation("any", ("a.png",), tuple(turns))
    )
    encoded = encode(parts, processor.tokenizer, image_tokens=[1], max_length=2048)
    wanted = [
        (token, number % 2)
        for number, text in enumerate(KINDS[kind].prompt)
        for token in processor.tokenizer(text, add_special_tokens=False).input_ids
    ]
    begins = processor.tokenizer("").input_ids  # its own first token
    assert encoded.input_ids == [*begins, *(token for token, _ in wanted)]
    assert [label != IGNORED for label in encoded.labels[len(begins) :]] == [bool(trained) for _, trained in wanted]


def test_a_batch_is_what_transformers_processor_makes_and_computes_its_loss(
    kind: str, swapped: Path, talks: Path, pictures: list[Image.Image]
) -> None:
    samples, processor = samples_of(swapped, talks), processor_of(swapped)
    model = KINDS[kind].model.from_pretrained(swapped)
    image = model.config.image_token_id
    collate = Collator(pad=processor.tokenizer.pad_token_id, image=image, blank=samples.blank)
    losses = []
    for number, seen in ((0, pictures[:1]), (2, [pictures[1], pictures[0]])):
        text = ("What is it?", "", "What are  and ?")[number]
        theirs, batch = inputs_of(processor, *seen, text=text), collate([samples[number]])
        length = theirs["input_ids"].shape[1]
        assert torch.equal(batch["input_ids"][:, :length], theirs["input_ids"])
        assert (batch["labels"][:, :length] == IGNORED).all()
        with torch.no_grad():
            # their pieces are filled up with zeros to as many for every image, ours lie one behind the other
            found = model(**batch, output_hidden_states=True)
            wanted = model(**theirs).logits
        torch.testing.assert_close(found.logits[:, :length], wanted, atol=1e-4, rtol=1e-4)
        counted = int((batch["labels"] != IGNORED).sum())
        losses.append((found.loss * counted, counted))
    with torch.no_grad():
        both = model(**collate([samples[0], samples[2]])).loss
    total = sum(loss for loss, _ in losses) / sum(count for _, count in losses)
    torch.testing.assert_close(both, total, atol=1e-4, rtol=1e-4)


def test_a_batch_without_pictures_is_the_language_models_alone(kind: str, swapped: Path, talks: Path) -> None:
    samples, processor = samples_of(swapped, talks), processor_of(swapped)
    model = KINDS[kind].model.from_pretrained(swapped)
    collate = Collator(pad=processor.tokenizer.pad_token_id, image=model.config.image_token_id, blank=samples.blank)
    loss = model(**collate([samples[1]])).loss
    ids, labels = samples[1]["input_ids"][None], samples[1]["labels"][None]
    torch.testing.assert_close(loss, model(input_ids=ids, labels=labels).loss)
    loss.backward()
    for parameter in (model.model.multi_modal_projector.linear_1.weight, model.model.image_newline):
        assert parameter.grad is not None
        assert parameter.grad.abs().max() == 0


def test_pictures_that_do_not_fit_are_cut_off_and_the_others_are_counted_without_them(
    kind: str, swapped: Path, talks: Path
) -> None:
    image = KINDS[kind].model.from_pretrained(swapped).config.image_token_id
    lengths = [len(samples_of(swapped, talks)[number]["input_ids"]) for number in range(4)]
    for limit in range(60, lengths[3], 17):
        sample = samples_of(swapped, talks, max_length=limit)[3]
        assert len(sample["input_ids"]) <= limit
        tokens = int((sample["input_ids"] == image).sum())
        assert (tokens > 0) == ("pixel_values" in sample)
        model = KINDS[kind].model.from_pretrained(swapped)
        with torch.no_grad():  # it refuses features that are not as many as the tokens
            model(**Collator(pad=0, image=image, blank=samples_of(swapped, talks).blank)([sample]))


@pytest.mark.parametrize(("train_what", "newline"), [("projector", False), ("full", True)])
def test_a_stage_trains_the_row_ends_with_the_language_model(
    train_what: str, newline: bool, kind: str, swapped: Path, talks: Path, tmp_path: Path
) -> None:
    settings = of_kind(recipe(swapped, talks, train_what, steps=2), conversations=str(talks / "talks.json"))
    train(settings, tmp_path / "out")
    before, after = (
        KINDS[kind].model.from_pretrained(each).model.image_newline for each in (swapped, tmp_path / "out")
    )
    assert torch.equal(before, after) != newline
    trained = read_record(tmp_path / "out")
    assert trained is not None
    assert trained.state == train_what


@pytest.fixture(scope="module")
def coloured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of one colour each, and captions that name it."""
    data = tmp_path_factory.mktemp("coloured")
    for colour in COLOURS:
        Image.new("RGB", (60, 40), colour).save(data / f"{colour}.png")
    said = [record(["<image>\nWhat colour?", colour], f"{colour}.png") for colour in COLOURS * 8]
    (data / "talks.json").write_text(json.dumps(said))
    return data


def test_training_falls_below_the_control_with_shuffled_pictures(
    swapped: Path, coloured: Path, tmp_path: Path
) -> None:
    found = []
    for shuffled in (False, True):
        settings = recipe(swapped, coloured, "full", steps=32, lr=1e-2, global_batch=8, micro_batch=8, log_every=8)
        train(of_kind(settings, shuffle_images=shuffled), tmp_path / str(shuffled))
        trained = read_record(tmp_path / str(shuffled))
        assert trained is not None
        found.append(trained.stages[0].loss)
    own, control = found
    assert own is not None
    assert control is not None
    assert own < 0.5 * control


def test_it_is_asked_about_several_pictures_and_answers_as_by_transformers_alone(
    kind: str, swapped: Path, tmp_path: Path
) -> None:
    assert read_model(swapped).training == "zero-retrain"
    rows = [
        {"idx": str(number), "sub_task": "Counting", "prompt": text, "choices": ["one", "two"], "answer": "(A)"}
        | {f"image_{place}": shown(place) if place <= pictures else None for place in range(1, 5)}
        for number, (text, pictures) in enumerate([("How many?", 1), ("Which?", 3), ("And which?", 2)])
    ]
    table(tmp_path / "data" / "BLINK" / "Counting" / "val-00000-of-00001.parquet", rows)
    answers = Answerer(by_transformers(swapped, batch=2, device=torch.device("cpu"))).ask(
        "blink", data=tmp_path / "data", first=None
    )
    assert len(answers) == 3
    processor, model = processor_of(swapped), KINDS[kind].model.from_pretrained(swapped).float()
    for document, answer in answers:
        inputs = inputs_of(processor, *doc_to_image(document), text=document["prompt"])
        with torch.no_grad():
            ids = model.generate(**inputs, do_sample=False, max_new_tokens=64)[0, inputs["input_ids"].shape[1] :]
        assert answer == processor.tokenizer.decode(ids, skip_special_tokens=True).strip()


@pytest.mark.parametrize(
    ("problem", "do", "says"),
    [
        (
            Unsupported,
            lambda _, swapped, tmp: convert(swapped, tmp / "original", to="original"),
            r"is a {name}; only LLaVA-1\.5 is written for the original code",
        ),
        (
            Mismatch,
            lambda kind, swapped, tmp: swap(
                swapped, str(KINDS[kind].other(tmp / "t")), tmp / "out", fresh_projector=True
            ),
            r"is of another family than that of .*, a {name}",
        ),
    ],
)
def test_what_is_not_done_with_it_is_refused(
    problem: type[Exception], do: Callable[..., Any], says: str, kind: str, swapped: Path, tmp_path: Path
) -> None:
    with pytest.raises(problem, match=says.format(name=KINDS[kind].name)):
        do(kind, swapped, tmp_path)


def test_it_is_trained_by_its_own_template_alone(swapped: Path, talks: Path, tmp_path: Path) -> None:
    settings = recipe(swapped, talks, "full")
    with pytest.raises(Mismatch, match=r"data\.template: vicuna_v1 is not how .* is asked; give chat"):
        train(settings, tmp_path / "out")


def test_shuffled_pictures_are_every_one_another_records() -> None:
    names = [("a",), ("b", "c"), (), ("d", "e", "f"), ("g",), ("h", "i")]
    for seed in range(20):
        dealt = dealt_out(names, seed)
        assert [len(each) for each in dealt] == [len(each) for each in names]
        assert sorted(name for each in dealt for name in each) == list("abcdefghi")
        assert not any(set(own) & set(other) for own, other in zip(names, dealt, strict=True))
    assert all(first != second for first, second in pairwise([dealt_out(names, 0), dealt_out(names, 1)]))
