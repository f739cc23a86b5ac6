"""When a step is up to date: all that it was made from is what it was at its last success."""

import hashlib
import json
from pathlib import Path

from diva.braces import missing_files
from diva.pipelines.data import fingerprint
from diva.pipelines.manifest import FileDigest, Manifest
from diva.pipelines.plan import Step


class Origins:
    """What steps would be made from now, against what the manifest says that they were made from."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._data: dict[str, str | None] = {}  # many steps read the same

    def up_to_date(self, step: Step) -> bool:
        """Tell whether the last run of `step` was made from what one would be now, and left all that it makes."""
        record = self._manifest.stages[step.name]
        whole = record.state == "done" and all(path.exists() for path in step.makes)
        return whole and record.made_from == self.made_from(step)

    def made_from(self, step: Step) -> str:
        """Return a digest of command, data, facts and needed files, through all the steps before."""
        before = {name: self._manifest.stages[name].made_from for name in step.after}
        files = {str(path): self._digest(path) for path in step.needs}
        said = [step.words, self.data(step), dict(step.facts), before, files]
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()

    def data(self, step: Step) -> dict[str, str | None]:
        """Return a fingerprint of each of the step's data, by name; None of what is not complete."""
        return {name: self._fingerprint(str(place.path)) for name, place in step.data.items()}

    def _fingerprint(self, place: str) -> str | None:
        if place not in self._data:
            self._data[place] = None if missing_files(place) else fingerprint(place)
        return self._data[place]

    def _digest(self, path: Path) -> str | None:
        """Return a digest of what lies at `path`; a file of known size and time is not read again."""
        if not path.exists():
            return None
        facts = path.stat()
        known = self._manifest.files.get(str(path))
        if known is None or (known.bytes, known.modified) != (facts.st_size, facts.st_mtime_ns) or path.is_dir():
            known = FileDigest(bytes=facts.st_size, modified=facts.st_mtime_ns, sha256=fingerprint(str(path)))
            self._manifest.files[str(path)] = known
        return known.sha256
