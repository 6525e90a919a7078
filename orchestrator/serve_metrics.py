"""What a replica counts, and all replicas' counts on one page, in the text format that Prometheus reads."""

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from .engine import Reply


class Counts:
    """What one replica has done since it started, and what it is doing."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "warmth_requests", "Answers, by HTTP status", ["path", "status"], registry=self._registry
        )
        self._tokens = Counter(
            "warmth_tokens", "Tokens, of prompts and replies", ["base", "of"], registry=self._registry
        )
        self.in_flight = Gauge("warmth_in_flight", "Requests that are being answered", registry=self._registry)
        self._adapters = Gauge("warmth_adapters", "Adapters in memory", ["base"], registry=self._registry)

    def answered(self, path: str, status: int) -> None:
        """A request has its answer."""
        self._requests.labels(path, str(status)).inc()

    def said(self, base: str, replies: Iterable[Reply]) -> None:
        """An engine has replied."""
        for reply in replies:
            self._tokens.labels(base, "prompts").inc(reply.prompt_tokens)
            self._tokens.labels(base, "replies").inc(reply.reply_tokens)

    def text(self, adapters: Mapping[str, int]) -> str:
        """The counts as they are now; `adapters`: how many are in memory, by their base."""
        for base, count in adapters.items():
            self._adapters.labels(base).set(count)
        return generate_latest(self._registry).decode()


def together(texts: Mapping[str, str]) -> bytes:
    """All replicas' counts, each under its replica's name: Prometheus adds up what it is asked for."""
    registry = CollectorRegistry()
    registry.register(_Gathered(texts))
    return generate_latest(registry)


class _Gathered(Collector):
    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts

    def collect(self) -> Iterator[Metric]:
        """One family for each count, with the samples of all replicas."""
        found: dict[str, Metric] = {}
        for replica, text in self._texts.items():
            for family in text_string_to_metric_families(text):
                mine = found.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                for sample in family.samples:
                    mine.add_sample(sample.name, {**sample.labels, "replica": replica}, sample.value)
        yield from found.values()
