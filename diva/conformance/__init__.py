"""Whether a kind of tower works in every part of the suite: `diva towers check`."""
