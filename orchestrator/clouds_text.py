"""What a study comes to on a cluster, for people: the lines that `warmth plan --cluster` adds. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Figures = Mapping[str, Any]


def lines(cluster: Figures | None) -> Iterator[tuple[str, str]]:
    """Label and text of each; nothing where no cluster was asked about."""
    if cluster is None:
        return
    for node in cluster["nodes"]:
        yield "machines", _machines(node)
        yield "machines", _ready(node)
    yield "cluster", _sum(cluster)
    if cluster["settings"]:
        yield (
            "cluster",
            f"a cluster without a GPU grows by what a run asks for; run it with {' '.join(cluster['settings'])}",
        )
    if cluster["head"]:
        yield "cluster", _idle(cluster["head"])
    if any(each["usd_hour"] for each in [*cluster["nodes"], *filter(None, [cluster["head"]])]):
        yield "cluster", _prices(cluster["prices"])
    yield from (("does not fit", line) for line in cluster["does_not_fit"])
    yield from (("fill in", line) for line in cluster["fill_in"])


def _machines(node: Figures) -> str:
    stages = ", ".join(
        f"{stage} {_hours(stay['hours'])} on {stay['machines']}" for stage, stay in node["stages"].items()
    )
    gpus = f"{node['gpus']} x {node['gpu'] or 'GPU, each taken for an H100'}"
    kind = ", ".join(filter(None, [node["machine"], gpus, "spot" if node["spot"] else ""]))
    return f"{node['machines']} of {node['kind']} ({kind}) for {', '.join(node['models'])}: {stages}"


def _ready(node: Figures) -> str:
    """What each new machine does before it works, and what that costs."""
    paid = f", for {_usd(node['ready_usd'])}" if node["ready_usd"] else ""
    weights = "weights of unknown size" if node["download_gb"] is None else f"weights of {node['download_gb']:,.0f} GB"
    return (
        f"each works about {_told(node['ready_minutes'], '.0f')} min after it is asked for (boot "
        f"{node['boot_minutes']:.0f}, install {node['install_minutes']:.0f}, {weights} "
        f"{_told(node['download_minutes'], '.0f')}){paid}; idle, it goes after {node['idle_minutes']:.0f} min"
    )


def _sum(cluster: Figures) -> str:
    if not cluster["nodes"]:
        return _no_gpu(cluster)
    cost = f"about {_usd(cluster['usd'])}" if cluster["usd"] else _no_price(cluster)
    spot = any(node["spot"] for node in cluster["nodes"]) and cluster["usd_without_spot"]
    dearer = f", {_usd(cluster['usd_without_spot'])} on demand" if spot else ""
    return f"{cluster['file']}: about {_hours(cluster['hours'])} and {cost}{dearer}; traffic, storage and taxes apart"


def _no_price(cluster: Figures) -> str:
    every = [*cluster["nodes"], *filter(None, [cluster["head"]])]
    unknown = ", ".join(each["machine"] or each["kind"] for each in every if not each["usd_hour"])
    return f"an unknown amount, as there is no price on file of {unknown}" if unknown else "an unknown amount"


def _no_gpu(cluster: Figures) -> str:
    """Nothing of the study takes GPUs of ours, or no machine was found that has what it takes."""
    if cluster["does_not_fit"]:
        return f"{cluster['file']}: there is no machine for a part of the study"
    if not cluster["head"]:
        return f"{cluster['file']}: machines that are there already; none is started, and none has a price"
    other = cluster["without_gpu"]
    where = f"{other['kind']} machines ({_rate(other)})" if other else "the head"
    return f"{cluster['file']}: no GPU is needed; processors of {where} do the work, for how long is not estimated"


def _idle(head: Figures) -> str:
    if not head["usd_hour"]:
        return f"{head['kind']}: there as long as the cluster is; no price is on file"
    day = [24 * usd for usd in head["usd_hour"]]
    return f"{head['kind']} ({_rate(head)}): costs about {_usd(day)} a day until `ray down`, workers or none"


def _rate(node: Figures) -> str:
    told = [node["machine"], f"{_usd(node['usd_hour'])} an hour" if node["usd_hour"] else ""]
    return ", ".join(filter(None, told))


def _prices(prices: Figures) -> str:
    low, high = prices["spot_share"]
    return (
        f"prices are no offer: taken {prices['taken']}, {prices['where']}; spot machines at {low:.0%} to {high:.0%} of "
        "the price on demand. Hours are estimates too. Look at your cloud's own page before you spend"
    )


def _hours(hours: float | None) -> str:
    if hours is None:
        return "an unknown time"
    return f"{hours:,.1f} h" if hours >= 1 else f"{60 * hours:.0f} min"


def _usd(range_: Sequence[float]) -> str:
    """Both ends, or one where they do not differ as printed."""
    form = ",.0f" if range_[1] >= 20 else ".2f"
    low, high = (f"${usd:{form}}" for usd in range_)
    return low if low == high else f"{low} to {high}"


def _told(value: float | None, form: str) -> str:
    return "an unknown number of" if value is None else f"{value:{form}}"
