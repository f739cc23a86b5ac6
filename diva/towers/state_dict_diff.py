"""One phrase for what does not fit between the tensors that a model wants and those that there are."""

from collections.abc import Iterable

SHOWN = 3  # keys named of each kind of misfit; the counts are always given


def state_dict_diff(missing: Iterable[str], unexpected: Iterable[str], misshapen: Iterable[str] = ()) -> str | None:
    """Return the end of a sentence that counts and names the keys that do not fit, or None where all do."""
    kinds = (("missing", missing), ("unexpected", unexpected), ("of the wrong shape or type", misshapen))
    phrases = []
    for kind, names in kinds:
        keys = sorted(names)
        more = ", …" if len(keys) > SHOWN else ""
        if keys:
            phrases.append(f"{len(keys)} {kind} ({', '.join(keys[:SHOWN])}{more})")
    return "keys " + ", ".join(phrases) if phrases else None
