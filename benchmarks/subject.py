"""How a benchmark names the tower that it measured."""

from pathlib import Path

from diva.exporting.note import Note, read_note
from diva.results import Subject
from diva.towers import Clip


def subject_of(clip: Clip) -> Subject:
    """Return the result file's record of `clip`.

    Weights that were named beside a zoo name or an architecture belong to the label: two checkpoints of one
    tower must not look alike in a table.
    """
    note = read_note(clip.weights) if clip.weights else Note()
    apart = clip.weights is not None and not clip.source.startswith("hf-hub:") and not Path(clip.source).exists()
    return Subject(
        label=f"{clip.source} ({clip.weights})" if apart else clip.source,
        source=str(clip.weights) if apart else clip.source,
        architecture=clip.architecture,
        sha256=clip.sha256,
        recipe=note.recipe,
        share=note.share,
    )
