"""Works on one key: gather, decide, execute."""

import time
from dataclasses import dataclass

import structlog

from lockstep.api import names
from lockstep.api.migration import MigrationStatus
from lockstep.api.reasons import Reason, Severity
from lockstep.controller import metrics
from lockstep.controller.cache import Cache, Line
from lockstep.controller.clock import Clock
from lockstep.controller.decide import migration, schemaversion
from lockstep.controller.decide.state import Decision
from lockstep.controller.events import About, Announcer
from lockstep.controller.facts import (
    MigrationFact,
    SchemaVersionFact,
    job_fact,
    migration_fact,
    schema_version_fact,
)
from lockstep.controller.gather import Gatherer, Memory
from lockstep.controller.keys import Key, affected_by_schema_version, schema_version_key
from lockstep.controller.kube import (
    JOBS,
    MIGRATIONS,
    SCHEMA_VERSIONS,
    ConflictError,
    Kube,
    NotFoundError,
    Resource,
)
from lockstep.controller.queue import WorkQueue
from lockstep.controller.settings import Settings
from lockstep.controller.snapshot import SchemaVersionSnapshot
from lockstep.controller.start import OutdatedError, RejectedError, Starter
from lockstep.controller.status import dump, merge_patch

log = structlog.get_logger("lockstep.reconcile")
ROUNDS = 6
"""How often one look may find that things have moved on before it leaves it to a later one."""


@dataclass
class Reconciler:
    """Works on keys."""

    cache: Cache
    kube: Kube
    gatherer: Gatherer
    starter: Starter
    announcer: Announcer
    memory: Memory
    queue: WorkQueue[Key]
    clock: Clock
    settings: Settings

    async def work(self, key: Key) -> None:
        """Work on a key.

        Raises:
            ApiError: if the API server does not answer; the key is to be tried again.
        """
        began = time.perf_counter()
        outcome = "error"
        try:
            if key.kind == "SchemaVersion":
                await self._schema_version(key)
            else:
                await self._migration(key)
            outcome = "ok"
        finally:
            metrics.RECONCILES.labels(key.kind, outcome).inc()
            metrics.RECONCILE_SECONDS.labels(key.kind).observe(time.perf_counter() - began)

    async def _schema_version(self, key: Key) -> None:
        rejected: tuple[Reason, str] | None = None
        for _ in range(ROUNDS):
            s = await self.gatherer.schema_version(key, rejected)
            if s is None:
                self.memory.forget(key)
                self.memory.forget("check", key)
                return
            decision = schemaversion.decide(s)
            if decision.start is not None:
                try:
                    await self.starter.start(key, decision.start)
                except OutdatedError:
                    pass
                except RejectedError as error:
                    rejected = error.reason, str(error)
                continue
            if await self._carry_out(key, s, decision):
                return
        self.queue.add_after(key, 0.5)

    async def _carry_out(self, key: Key, s: SchemaVersionSnapshot, decision: Decision) -> bool:
        """Do what was decided; False if the resource has moved on."""
        fact = self.cache.schema_versions.get(key.name, s.fact)
        if decision.stop is not None:
            job = decision.stop
            log.info("run stopped", key=str(key), job=job.name, reason=decision.reason.value)
            await self.kube.delete(JOBS, job.namespace, job.name, uid=job.uid, propagation="Foreground")
        if decision.status is not None:
            patch = merge_patch(dump(s.before), dump(decision.status))
            if patch and not await self._write(key, SCHEMA_VERSIONS, s.fact.resource_version, patch):
                return False
            if patch:
                log.info(
                    "schemaversion",
                    key=str(key),
                    reason=decision.reason.value,
                    message=decision.message,
                    job=decision.status.run.job if decision.status.run else None,
                )
                self._count(key, s, decision)
        self._remember(key, decision.reason, s.fact.generation, busy=bool(s.runs))
        if decision.announce:
            about = About(names.SCHEMA_VERSION, fact.namespace, fact.name, fact.uid)
            await self.announcer.post(about, decision.reason, decision.message)
        for job in decision.retire:
            await self._retire(job.namespace, job.name)
        if decision.again is not None:
            self.queue.add_after(key, decision.again)
        return True

    def _remember(self, key: Key, reason: Reason, generation: int, *, busy: bool = False) -> None:
        """Keep since when it waits; another spec starts anew."""
        if reason.severity is Severity.WAITING:
            self.memory.seconds(key, "waiting", generation)
        elif reason.severity is Severity.OK and not busy:
            self.memory.forget(key)
        elif reason is not Reason.SETTLING:
            self.memory.forget(key, "waiting")

    def _count(self, key: Key, s: SchemaVersionSnapshot, decision: Decision) -> None:
        """Count what ended: runs, plans and looks for drift."""
        made = decision.status
        if made is None:
            return
        looks = made.drift.checks if made.drift is not None else 0
        if looks > (s.before.drift.checks if s.before.drift is not None else 0):
            metrics.RUNS.labels("check", "Retryable" if made.drift and made.drift.error else "Done", "").inc()
        run, before = made.run, s.before.run
        if run is None or run.outcome == "Running" or (before is not None and run.finished_at == before.finished_at):
            return
        metrics.RUNS.labels(run.mode.lower(), run.outcome, run.reason or "").inc()
        if self.memory.known(key, "run", run.job):
            metrics.RUN_SECONDS.observe(self.memory.seconds(key, "run", run.job))
            self.memory.forget(key, "run")

    async def _retire(self, namespace: str, name: str) -> None:
        """Let a Job go after a while: its result is on the status."""
        body = {"spec": {"ttlSecondsAfterFinished": self.settings.job_ttl_seconds}}
        try:
            self.cache.put(job_fact(await self.kube.patch(JOBS, namespace, name, body)))
        except NotFoundError:
            return

    async def _write(self, key: Key, resource: Resource, resource_version: str, patch: dict[str, object]) -> bool:
        """Write a status onto the very version that was decided about; False if it has moved on."""
        namespace, name = key.name
        # The resourceVersion makes a decision about a stale resource fail.
        body = {"metadata": {"resourceVersion": resource_version}, "status": patch}
        parse = schema_version_fact if resource is SCHEMA_VERSIONS else migration_fact
        kind = SchemaVersionFact if resource is SCHEMA_VERSIONS else MigrationFact
        try:
            made = await self.kube.patch(resource, namespace, name, body, "status")
        except ConflictError:
            try:
                made = await self.kube.get(resource, namespace, name)
            except NotFoundError:
                self.cache.drop(kind, key.name)
                return False
            self.cache.put(parse(made))
            return False
        except NotFoundError:
            self.cache.drop(kind, key.name)
            return False
        old = self.cache.put(parse(made))
        self._wake_others(old, self.cache.schema_versions.get(key.name))
        return True

    def _wake_others(self, old: object, new: SchemaVersionFact | None) -> None:
        if isinstance(old, SchemaVersionFact) and new is not None:
            for key in affected_by_schema_version(self.cache, old, new):
                self.queue.add(key)

    def _wake_consumers(self, fact: MigrationFact) -> None:
        for each in self.cache.consumers(Line(fact.namespace, fact.line)):
            self.queue.add(schema_version_key(each.namespace, each.name))

    async def _migration(self, key: Key) -> None:
        for _ in range(ROUNDS):
            s = await self.gatherer.migration(key)
            if s is None:
                self.memory.forget(key)
                return
            decision = migration.decide(s)
            fact = s.member.fact
            self._remember(key, decision.reason, fact.generation)
            if decision.status is not None:
                before = MigrationStatus.model_validate(fact.status or {})
                patch = merge_patch(dump(before), dump(decision.status))
                if patch:
                    if not await self._write(key, MIGRATIONS, fact.resource_version, patch):
                        continue
                    if "checksum" in patch:
                        # A text that was missing has come, or changed in its ConfigMap: no watch tells.
                        self._wake_consumers(fact)
                    log.info("migration", key=str(key), reason=decision.reason.value, applied=decision.status.applied)
            if decision.announce:
                about = About(names.MIGRATION, fact.namespace, fact.name, fact.uid)
                await self.announcer.post(about, decision.reason, decision.message)
            if decision.again is not None:
                self.queue.add_after(key, decision.again)
            return
        self.queue.add_after(key, 0.5)
