"""What a check of a run found, for people and for machines. Pure."""

import json
from collections import Counter
from dataclasses import asdict

from .checking import KINDS, Checked


def lines(checked: Checked) -> list[str]:
    """A line for each thing that was found, and one that sums it up."""
    return [*(f"{each.kind}: {each.file}: {each.what}; {each.cure}" for each in checked.found), summary(checked)]


def summary(checked: Checked) -> str:
    """What was looked at, and what came of it."""
    looked = ", ".join(f"{count:,} {name}" for name, count in checked.counted.items())
    kinds = Counter(each.kind for each in checked.found)
    came = ", ".join(f"{kinds[kind]} {kind}" for kind in KINDS if kinds[kind])
    return f"{checked.run}: looked at {looked}: {came or 'all there, and all right'}"


def to_json(checked: Checked) -> str:
    """One JSON document: `found`, `counted`, and whether the run `passes`, finished or not."""
    verdicts = {"passes": checked.passes(), "passes_unfinished": checked.passes(unfinished=True)}
    rows = [asdict(each) for each in checked.found]
    return json.dumps({"run": checked.run, **verdicts, "counted": checked.counted, "found": rows}, ensure_ascii=False)
