"""The manifest as doit's database, so that what proves a stage done and what a reader sees is one file."""

from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any

from doit.dependency import Dependency

from diva.pipeline.manifest import Manifest, StageRecord, read_manifest, write_manifest


class Ledger:
    """A backend of `doit.dependency.Dependency`; every `dump` replaces the file as a whole."""

    def __init__(self, path: Path, recipe: str, overrides: Sequence[str], stages: Sequence[str]) -> None:
        """Go on from the manifest at `path`, if there is one; stages that are no longer planned are dropped.

        Raises:
            InputError: the file there is no manifest.
        """
        self.name = path
        self._writing = Lock()  # stages that run at once are noted by threads of their own
        before = read_manifest(path).stages if path.exists() else {}
        self.manifest = Manifest(
            recipe=recipe,
            overrides=list(overrides),
            stages={stage: before.get(stage, StageRecord()) for stage in stages},
        )

    def __getitem__(self, stage: str) -> StageRecord:
        """Return the record of `stage`, to be changed in place."""
        return self.manifest.stages[stage]

    def set(self, task_id: str, dependency: str, value: Any) -> None:
        """Keep something that doit wants to know at its next run."""
        self[task_id].proof[dependency] = value

    def get(self, task_id: str, dependency: str) -> Any:
        """Return what `set` was given, or None."""
        return self[task_id].proof.get(dependency)

    def in_(self, task_id: str) -> bool:
        """Tell whether anything is kept of `task_id`."""
        return bool(self[task_id].proof)

    def remove(self, task_id: str) -> None:
        """Forget what proves `task_id` done; what is known of its last run stays."""
        self[task_id].proof = {}

    def remove_all(self) -> None:
        """Forget every proof."""
        for task_id in self.manifest.stages:
            self.remove(task_id)

    def dump(self) -> None:
        """Write the manifest."""
        with self._writing:
            write_manifest(self.manifest, self.name)

    def dependency(self) -> Dependency:
        """Return doit's view of this ledger."""
        return Dependency(lambda *_, **__: self, str(self.name))
