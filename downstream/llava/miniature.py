"""A language model small enough for a CPU, made on the spot: the miniature world's stand-in for Vicuna.

A tokenizer is learned from conversation files, and a tiny Llama learns their language without their images: it then
knows what is asked and what may be answered, and has to guess, as a language model does that never saw anything. It
is a plain transformers folder, which `diva llava swap` takes like any other language model.
"""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, Trainer, TrainingArguments

from diva.exporting.folder import check_replaceable, complete_folder
from diva.pretrained import save_pretrained
from diva_downstream.llava.conversation import IMAGE, Conversation, pieces, read_conversations
from diva_downstream.llava.encode import IGNORED
from diva_downstream.llava.shown import train_shown

VOCABULARY = 1024
POSITIONS = 2048
SPECIAL = ("<unk>", "<s>", "</s>")
BATCH, RATE = 16, 3e-3


def write_miniature(conversations: Sequence[Path], folder: Path, *, seed: int = 0, steps: int = 100) -> None:
    """Write a language model to `folder` that has read the conversation files; on a CPU in a quarter of a minute.

    Args:
        steps: updates of 16 conversations.

    Raises:
        InputError: a file holds no conversations, or `folder` holds something that is no export.
    """
    check_replaceable(folder)
    prompts = [_unseen(conversation) for path in conversations for conversation in read_conversations(path)[0]]
    tokenizer = learn_tokenizer(prompts)
    model = random_llama(tokenizer, seed=seed)
    _read(model, tokenizer, prompts, seed, steps)
    with complete_folder(folder) as content:
        write_language_model(model, tokenizer, content)


def learn_tokenizer(texts: Sequence[str]) -> PreTrainedTokenizerFast:
    """Learn a byte-level byte-pair tokenizer from `texts`, which begins every text with `<s>` as Llama's does."""
    tokenizer = Tokenizer(models.BPE(unk_token=SPECIAL[0]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    begin = SPECIAL[1]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A", special_tokens=[(begin, tokenizer.token_to_id(begin))]
    )
    names = dict(zip(("unk_token", "bos_token", "eos_token"), SPECIAL, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=POSITIONS, **names)


def random_llama(
    tokenizer: PreTrainedTokenizerFast, *, seed: int, width: int = 64, layers: int = 2
) -> LlamaForCausalLM:
    """Return a Llama of random weights that knows `tokenizer`'s vocabulary."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=POSITIONS,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        tie_word_embeddings=False,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return LlamaForCausalLM(config)


def write_language_model(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write a language model and its tokenizer into the existing `folder`."""
    save_pretrained(model, folder)
    tokenizer.save_pretrained(folder)


def _unseen(conversation: Conversation) -> str:
    """Return the prompt of a conversation without its image."""
    return "".join(part.text for part in pieces(conversation, "vicuna_v1", SPECIAL[2])).replace(f"{IMAGE}\n", "")


def _read(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, prompts: Sequence[str], seed: int, steps: int
) -> None:
    with TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            max_steps=steps,
            per_device_train_batch_size=BATCH,
            learning_rate=RATE,
            lr_scheduler_type="cosine",
            warmup_steps=0.1,
            seed=seed,
            logging_steps=50,
            train_sampling_strategy="group_by_length",  # captions are a tenth as long as conversations
            use_cpu=True,
            dataloader_pin_memory=False,
            save_strategy="no",
            remove_unused_columns=False,
            report_to="none",
            disable_tqdm=True,
        )
        data = [{"input_ids": torch.tensor(numbers)} for numbers in tokenizer(list(prompts))["input_ids"]]
        train_shown(Trainer(model, arguments, data_collator=_batch, train_dataset=data))
    model.eval()


def _batch(samples: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    texts = [sample["input_ids"] for sample in samples]
    ids, labels, mask = (
        pad_sequence(values, batch_first=True, padding_value=filler)
        for values, filler in ((texts, 0), (texts, IGNORED), ([torch.ones_like(text) for text in texts], 0))
    )
    return {"input_ids": ids, "labels": labels, "attention_mask": mask}
