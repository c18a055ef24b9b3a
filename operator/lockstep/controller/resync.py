"""Compares the cache with lists: at the start to fill it, later for what a watch did not say (deletions in a gap)."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog

from lockstep.controller import metrics
from lockstep.controller.cache import Cache, Fact, Name
from lockstep.controller.keys import Key, migration_key, schema_version_key
from lockstep.controller.kube import Kube, NotFoundError, Resource
from lockstep.controller.queue import WorkQueue
from lockstep.controller.sources import Sources
from lockstep.controller.watch import KINDS, Intake, selector_of

log = structlog.get_logger("lockstep.resync")
GRACE_SECONDS = 3.0
"""How far a watch may be behind a list before the list is believed."""


@dataclass
class Resync:
    """Keeps the cache honest."""

    cache: Cache
    kube: Kube
    queue: WorkQueue[Key]
    intake: Intake
    sources: Sources
    namespaces: tuple[str | None, ...]
    """(None,): the whole cluster."""
    grace: float = GRACE_SECONDS

    async def fill(self) -> None:
        """Fill the cache and ask for work on everything: decisions rest on whole sets, so this comes first."""
        for resource, _, parse in KINDS:
            for namespace in self.namespaces:
                async for page in self.kube.pages(resource, namespace, label_selector=selector_of(resource)):
                    for raw in page:
                        self.cache.put(parse(raw))
        for name in self.cache.schema_versions:
            self.queue.add(schema_version_key(*name))
        for name in self.cache.migrations:
            self.queue.add(migration_key(*name))
        log.info("cache filled", **self.cache.sizes())

    async def run_forever(self, seconds: float) -> None:
        """Compare again and again."""
        while True:
            await asyncio.sleep(seconds)
            try:
                await self.compare()
            except Exception as error:
                if getattr(error, "fatal", False):
                    raise
                log.warning("resync failed", error=f"{type(error).__name__}: {error}")

    async def compare(self) -> int:
        """Compare once; return how many changes no watch had told."""
        missed = 0
        for resource, kind, parse in KINDS:
            missed += await self._compare_kind(resource, kind, parse)
        for name, fact in list(self.cache.migrations.items()):
            if fact.up_from is not None or fact.down_from is not None:
                # ConfigMaps are not watched.
                self.queue.add(migration_key(*name))
        for name in list(self.cache.schema_versions):
            self.queue.add(schema_version_key(*name))
        self.sources.forget_stale()
        if missed:
            metrics.MISSED.inc(missed)
            log.warning("watch missed changes", count=missed)
        return missed

    async def _compare_kind(self, resource: Resource, kind: type[Fact], parse: Callable[[Any], Fact]) -> int:
        store = self.cache.store_for(kind)
        before = {name: fact.resource_version for name, fact in store.items()}
        listed: dict[Name, str] = {}
        for namespace in self.namespaces:
            pages = self.kube.pages(resource, namespace, label_selector=selector_of(resource), metadata_only=True)
            async for page in pages:
                for raw in page:
                    metadata = raw["metadata"]
                    if not self.cache.serves(metadata["namespace"]):
                        continue
                    listed[Name(metadata["namespace"], metadata["name"])] = metadata["resourceVersion"]
        suspects = [name for name in {*before, *listed} if before.get(name) != listed.get(name)]
        if not suspects:
            return 0
        # The watch may have it under way.
        await asyncio.sleep(self.grace)
        missed = 0
        for name in suspects:
            known = store.get(name)
            if (known.resource_version if known is not None else None) != before.get(name):
                continue
            try:
                fact = parse(await self.kube.get(resource, *name))
            except NotFoundError:
                missed += self.intake.absent(kind, name)
            else:
                missed += self.intake.present(fact)
        return missed
