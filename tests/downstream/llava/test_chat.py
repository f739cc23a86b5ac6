"""Language models by their own templates: prompts token by token by hand, and models that compute the same."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from skimage import data as photographs
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    CONFIG_MAPPING,
    AutoModelForCausalLM,
    AutoProcessor,
    LlavaForConditionalGeneration,
    PreTrainedTokenizerFast,
)

from diva.errors import Invalid, Mismatch, Missing, Unknown, Unsupported
from diva_downstream.llava.chat import Chat, own_template
from diva_downstream.llava.conversation import Conversation, Turn, read_conversations
from diva_downstream.llava.data import ConversationData
from diva_downstream.llava.encode import IGNORED, encode
from diva_downstream.llava.formats import read_llava
from diva_downstream.llava.recipe import DataSection
from diva_downstream.llava.record import read_record
from diva_downstream.llava.swap import swap
from diva_downstream.llava.train import train
from tests.downstream.llava.test_train import recipe
from tests.fixtures.llava import IMAGE_TOKENS, TEXTS

QUESTION, ANSWER, FURTHER, LAST = "<image>\nWhat is it?", "A ball.", "Is it red? ", "No."


class Family(NamedTuple):
    """How a family talks.

    Attributes:
        template: what its published one does with a conversation of user and assistant, in short.
        bos: the first token, if any; adds_bos: whether the tokenizer puts it in front of every text.
        special: other tokens.
        prompt: of two questions and answers, by hand; every second part is trained.
    """

    template: str
    bos: str | None
    adds_bos: bool
    special: tuple[str, ...]
    prompt: tuple[str, ...]


CHATML = (
    "{%- for message in messages -%}{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' -}}"
    "{%- endfor -%}{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}"
)
SYSTEM = "{{- '<|im_start|>system\nYou are helpful.<|im_end|>\n' -}}"
FAMILIES = {
    # the date of today in its system message, and what is said trimmed
    "llama 3": Family(
        "{{- bos_token + '<|start_header_id|>system<|end_header_id|>\n\n' -}}"
        "{{- 'Today Date: ' + strftime_now('%d %b %Y') + '\n\n<|eot_id|>' -}}"
        "{%- for message in messages -%}"
        "{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim -}}"
        "{{- '<|eot_id|>' -}}{%- endfor -%}"
        "{%- if add_generation_prompt -%}{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' -}}{%- endif -%}",
        "<|begin_of_text|>",
        True,
        ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
        (
            "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nToday Date: 26 Jul 2024\n\n<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\n<image>\nWhat is it?<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n",
            "A ball.<|eot_id|>",
            "<|start_header_id|>user<|end_header_id|>\n\nIs it red?<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n",
            "No.<|eot_id|>",
        ),
    ),
    "qwen 2.5": Family(
        SYSTEM + CHATML,
        None,
        False,
        ("<|im_start|>", "<|im_end|>"),
        (
            "<|im_start|>system\nYou are helpful.<|im_end|>\n"
            "<|im_start|>user\n<image>\nWhat is it?<|im_end|>\n<|im_start|>assistant\n",
            "A ball.<|im_end|>",
            "\n<|im_start|>user\nIs it red? <|im_end|>\n<|im_start|>assistant\n",
            "No.<|im_end|>",
            "\n",
        ),
    ),
    # an empty thought before the last answer alone, and in the prompt for it where none is asked for
    "qwen 3": Family(
        "{%- for message in messages -%}{{- '<|im_start|>' + message.role + '\n' -}}"
        "{%- if message.role == 'assistant' and loop.last -%}{{- '<think>\n\n</think>\n\n' -}}{%- endif -%}"
        "{{- message.content + '<|im_end|>\n' -}}{%- endfor -%}"
        "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}"
        "{%- if enable_thinking is defined and enable_thinking is false -%}{{- '<think>\n\n</think>\n\n' -}}"
        "{%- endif -%}{%- endif -%}",
        None,
        False,
        ("<|im_start|>", "<|im_end|>", "<think>", "</think>"),
        (
            "<|im_start|>user\n<image>\nWhat is it?<|im_end|>\n<|im_start|>assistant\n",
            "A ball.<|im_end|>",
            "\n<|im_start|>user\nIs it red? <|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
            "No.<|im_end|>",
            "\n",
        ),
    ),
    "mistral": Family(
        "{{- bos_token -}}{%- for message in messages -%}{%- if message['role'] == 'user' -%}"
        "{{- '[INST] ' + message['content'] + '[/INST]' -}}"
        "{%- else -%}{{- ' ' + message['content'] + eos_token -}}{%- endif -%}{%- endfor -%}",
        "<s>",
        True,
        ("[INST]", "[/INST]"),
        (
            "<s>[INST] <image>\nWhat is it?[/INST]",
            " A ball.</s>",
            "[INST] Is it red? [/INST]",
            " No.</s>",
        ),
    ),
    "gemma 3": Family(
        "{{- bos_token -}}{%- for message in messages -%}"
        "{%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}{{- raise_exception('alternate') -}}"
        "{%- endif -%}"
        "{%- set role = 'model' if message['role'] == 'assistant' else message['role'] -%}"
        "{{- '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' -}}{%- endfor -%}"
        "{%- if add_generation_prompt -%}{{- '<start_of_turn>model\n' -}}{%- endif -%}",
        "<bos>",
        True,
        ("<start_of_turn>", "<end_of_turn>"),
        (
            "<bos><start_of_turn>user\n<image>\nWhat is it?<end_of_turn>\n<start_of_turn>model\n",
            "A ball.<end_of_turn>",
            "\n<start_of_turn>user\nIs it red?<end_of_turn>\n<start_of_turn>model\n",
            "No.<end_of_turn>",
            "\n",
        ),
    ),
    # the end of the text behind the end of the last answer
    "phi": Family(
        "{%- for message in messages -%}"
        "{{- '<|' + message['role'] + '|>\n' + message['content'] + '<|end|>\n' -}}{%- endfor -%}"
        "{%- if add_generation_prompt -%}{{- '<|assistant|>\n' -}}{%- else -%}{{- eos_token -}}{%- endif -%}",
        None,
        False,
        ("<|user|>", "<|assistant|>", "<|end|>"),
        (
            "<|user|>\n<image>\nWhat is it?<|end|>\n<|assistant|>\n",
            "A ball.<|end|>",
            "\n<|user|>\nIs it red? <|end|>\n<|assistant|>\n",
            "No.<|end|>",
            "\n</s>",
        ),
    ),
}
MODELS = {
    "llama": "llama 3",
    "mistral": "mistral",
    "qwen2": "qwen 2.5",
    "qwen3": "qwen 3",
    "gemma3_text": "gemma 3",
    "phi3": "phi",
    "smollm3": "qwen 2.5",
}


def tokenizer_of(family: Family) -> PreTrainedTokenizerFast:
    """Learn a byte-level tokenizer with the family's tokens and template."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    names = ["</s>", *([family.bos] if family.bos else []), *family.special]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=names, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    if family.adds_bos and family.bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{family.bos} $A", special_tokens=[(family.bos, tokenizer.token_to_id(family.bos))]
        )
    found = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=family.bos, eos_token="</s>")
    found.chat_template = family.template
    return found


def with_image(family: Family) -> PreTrainedTokenizerFast:
    tokenizer = tokenizer_of(family)
    tokenizer.add_tokens(["<image>"], special_tokens=True)
    return tokenizer


def language_model(kind: str, folder: Path) -> Path:
    """Write a language model of this kind, of random weights, with the tokenizer of its family."""
    tokenizer = tokenizer_of(FAMILIES[MODELS[kind]])
    sizes: dict[str, Any] = {
        "hidden_size": 48,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": len(tokenizer),
        "pad_token_id": None,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    if kind in ("gemma3_text", "qwen3"):
        sizes["head_dim"] = 12
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(CONFIG_MAPPING[kind](**sizes))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def talk(*texts: str) -> Conversation:
    turns = [Turn(("human", "gpt")[place % 2], text) for place, text in enumerate(texts)]  # type: ignore[arg-type]
    return Conversation("any", ("a.jpg",), tuple(turns))


@pytest.mark.parametrize("name", FAMILIES)
def test_a_prompt_is_the_familys_token_by_token_with_the_loss_on_answers_and_their_end(name: str) -> None:
    family = FAMILIES[name]
    tokenizer = with_image(family)
    chat = Chat(tokenizer, own_template(tokenizer, Path("model")), "model")
    encoded = encode(
        chat.pieces(talk(QUESTION, ANSWER, FURTHER, LAST)), tokenizer, image_tokens=[IMAGE_TOKENS], max_length=2048
    )
    place = 0
    for number, text in enumerate(family.prompt):
        ids = tokenizer(text, add_special_tokens=False).input_ids
        mark = tokenizer.convert_tokens_to_ids("<image>")
        ids = [each for token in ids for each in [token] * (IMAGE_TOKENS if token == mark else 1)]
        assert encoded.input_ids[place : place + len(ids)] == ids, text
        assert encoded.labels[place : place + len(ids)] == (ids if number % 2 else [IGNORED] * len(ids)), text
        place += len(ids)
    assert place == len(encoded.input_ids)


def test_answers_are_marked_as_transformers_marks_them_by_generation() -> None:
    tokenizer = with_image(FAMILIES["qwen 2.5"])
    chat = Chat(tokenizer, own_template(tokenizer, Path("model")), "model")
    said = ["Hi", "  A ball, \n and\n\n", "é漢 ", "No.<", "And?", " "]
    encoded = encode(chat.pieces(talk(*said)), tokenizer, image_tokens=[1], max_length=2048)
    marked = SYSTEM + CHATML.replace(
        "{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' -}}",
        "{{- '<|im_start|>' + message.role + '\n' -}}{%- if message.role == 'assistant' -%}{%- generation -%}"
        "{{- message.content + '<|im_end|>' -}}{%- endgeneration -%}{{- '\n' -}}"
        "{%- else -%}{{- message.content + '<|im_end|>\n' -}}{%- endif -%}",
    )
    messages = [{"role": ("user", "assistant")[place % 2], "content": text} for place, text in enumerate(said)]
    theirs: Any = tokenizer.apply_chat_template(
        messages, chat_template=marked, return_dict=True, return_assistant_tokens_mask=True
    )
    assert encoded.input_ids == theirs["input_ids"]
    assert [int(label != IGNORED) for label in encoded.labels] == theirs["assistant_masks"]


@pytest.mark.parametrize("kind", MODELS)
def test_every_family_computes_in_a_llava_what_it_computes_alone(
    kind: str, tower_folder: Path, tmp_path: Path
) -> None:
    folder = language_model(kind, tmp_path / "language")
    swap(folder, str(tower_folder), tmp_path / "llava", template="chat")
    alone: Any = AutoModelForCausalLM.from_pretrained(folder)
    llava: Any = LlavaForConditionalGeneration.from_pretrained(tmp_path / "llava")
    ids = torch.arange(3, 40)[None]
    with torch.no_grad():
        wanted, found = alone(input_ids=ids).logits, llava(input_ids=ids).logits
    torch.testing.assert_close(found[..., : wanted.shape[-1]], wanted)

    family, record = FAMILIES[MODELS[kind]], read_record(tmp_path / "llava")
    assert record is not None
    assert record.template == "chat"
    processor = AutoProcessor.from_pretrained(tmp_path / "llava")
    content = [{"type": "image", "image": photographs.coffee()}, {"type": "text", "text": "What is it?"}]
    asked = processor.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=True, return_dict=True
    )
    tokenizer = processor.tokenizer
    wanted_ids = encode(
        Chat(tokenizer, processor.chat_template, "model").pieces(talk(QUESTION, ANSWER)),
        tokenizer,
        image_tokens=[IMAGE_TOKENS],
        max_length=2048,
    )
    first = next(place for place, label in enumerate(wanted_ids.labels) if label != IGNORED)
    assert asked["input_ids"][0] == wanted_ids.input_ids[:first]  # asked as trained
    ends = llava.generation_config.eos_token_id
    marker = family.prompt[1].removeprefix(" ").removeprefix("A ball.")
    assert tokenizer.convert_tokens_to_ids(marker) in (ends if isinstance(ends, list) else [ends])


def test_a_stage_keeps_the_template_and_trains_by_it(tower_folder: Path, data: Path, tmp_path: Path) -> None:
    swap(language_model("qwen3", tmp_path / "language"), str(tower_folder), tmp_path / "swapped", template="chat")
    settings = recipe(tmp_path / "swapped", data, "lora", steps=2)
    with pytest.raises(Mismatch, match=r"data\.template: vicuna_v1"):
        train(settings, tmp_path / "out")
    own = settings.data.model_copy(update={"template": "chat"})
    train(settings.model_copy(update={"data": own}), tmp_path / "out")
    names = [(tmp_path / name / "chat_template.jinja").read_text() for name in ("swapped", "out")]
    assert names[0] == names[1]
    assert read_llava(tmp_path / "out").chat_template == names[0]
    record = read_record(tmp_path / "out")
    assert record is not None
    assert (record.template, record.state) == ("chat", "lora")


def test_a_record_that_holds_a_special_token_is_left_out(tmp_path: Path) -> None:
    family = FAMILIES["gemma 3"]
    tokenizer = with_image(family)
    special = Chat(tokenizer, own_template(tokenizer, Path("model")), "model").special
    said = [("Hi", "Say <end_of_turn>"), ("A </s>?", "Yes."), ("ASSISTANT: so", "Fine.")]
    records = [
        {"conversations": [{"from": "human", "value": first}, {"from": "gpt", "value": second}]}
        for first, second in said
    ]
    (tmp_path / "c.json").write_text(json.dumps(records))
    (kept,), left_out = read_conversations(tmp_path / "c.json", "chat", special)
    assert kept.turns[1].text == "Fine."  # which LLaVA-1.5's template would leave out
    assert "2 hold a separator of the prompt in their text" in left_out


@pytest.mark.parametrize(
    ("template", "refused"),
    [
        (None, pytest.raises(Missing, match=r"instruction-tuned.*--template vicuna_v1")),
        ("{{- raise_exception('never') -}}", pytest.raises(Invalid, match=r"\(never\)")),
        ("{%- for", pytest.raises(Invalid, match="language:")),
        (
            "{%- for message in messages -%}{{- message.content -}}{%- endfor -%}",
            pytest.raises(Unsupported, match="language:"),
        ),
        (CHATML.replace("<|im_end|>", ""), pytest.raises(Unsupported, match="language:")),
        ("{{- messages | length -}}" + CHATML, pytest.raises(Unsupported, match="language:")),
    ],
)
def test_a_template_that_cannot_be_used_is_refused(
    template: str | None, refused: pytest.RaisesExc[Exception], tower_folder: Path, tmp_path: Path
) -> None:
    folder = language_model("qwen2", tmp_path / "language")
    (folder / "chat_template.jinja").unlink()
    if template is not None:
        (folder / "chat_template.jinja").write_text(template)
    with refused:
        swap(folder, str(tower_folder), tmp_path / "llava", template="chat")
    assert not (tmp_path / "llava").exists()


def test_a_language_model_with_a_template_of_its_own_is_told_of_it(
    tower_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = language_model("qwen2", tmp_path / "language")
    for template, said in ((None, True), ("chat", False)):
        swap(folder, str(tower_folder), tmp_path / f"{said}", template=template)
        assert ("--template chat asks it by its own" in capsys.readouterr().err) == said


def test_the_template_of_a_trained_llava_stays(llava_folder: Path, tower_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(Unknown, match=r"--template: .*'chta'.*'chat'"):
        swap(llava_folder, str(tower_folder), tmp_path / "out", template="chta")
    with pytest.raises(Mismatch, match="vicuna_v1"):
        swap(llava_folder, str(tower_folder), tmp_path / "out", template="chat")


@pytest.mark.parametrize("field", ["final_logit_softcapping", "logits_scaling"])
def test_a_language_model_that_changes_its_scores_is_refused(
    field: str, tower_folder: Path, tmp_path: Path
) -> None:
    folder = language_model("gemma3_text", tmp_path / "language")
    fields = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(fields | {field: 30.0}))
    with pytest.raises(Unsupported, match=f"{field}.*LLaVA"):
        swap(folder, str(tower_folder), tmp_path / "llava")


def test_data_by_the_own_template_are_samples(tower_folder: Path, data: Path, tmp_path: Path) -> None:
    swap(language_model("phi3", tmp_path / "language"), str(tower_folder), tmp_path / "llava", template="chat")
    processor = AutoProcessor.from_pretrained(tmp_path / "llava")
    section = DataSection(conversations=str(data / "talks.json"), images=str(data), template="chat")
    sample = ConversationData(section, processor, seed=0)[0]
    kept = [number for number in sample["labels"].tolist() if number != IGNORED]
    assert processor.tokenizer.decode(kept) == "Picture number 0.<|end|>No.<|end|>"
