"""Starts a run: everything is read live once more, then the Job is made, then its bundle, then it is let go."""

import hashlib
from dataclasses import dataclass
from typing import Any

import structlog

from lockstep.api import names
from lockstep.api.migration import MigrationSpec
from lockstep.api.reasons import Reason
from lockstep.controller.cache import Cache, Line, Name
from lockstep.controller.decide import repair
from lockstep.controller.decide.rollback import undone
from lockstep.controller.decide.schemaversion import decide
from lockstep.controller.decide.state import Start
from lockstep.controller.facts import (
    JobFact,
    MigrationFact,
    SchemaVersionFact,
    job_fact,
    migration_fact,
    schema_version_fact,
)
from lockstep.controller.gather import Gatherer
from lockstep.controller.inputs import unpack_tags
from lockstep.controller.jobs import job_name, render_job, render_shards
from lockstep.controller.keys import Key
from lockstep.controller.kube import (
    CONFIG_MAPS,
    JOBS,
    MIGRATIONS,
    SCHEMA_VERSIONS,
    AlreadyExistsError,
    ForbiddenError,
    InvalidError,
    Kube,
    NotFoundError,
    Object,
    ServerBusyError,
)
from lockstep.controller.order import Texts, is_settled, make_order
from lockstep.controller.pods import rejection
from lockstep.controller.settings import Settings
from lockstep.controller.snapshot import Member, SchemaVersionSnapshot
from lockstep.controller.sources import SourceError, Sources
from lockstep.planning.bundle import pack
from lockstep.planning.checksum import ABSENT, checksum
from lockstep.planning.version import Version
from lockstep.planning.wire import Mode

log = structlog.get_logger("lockstep.run")
FOREIGN_SECONDS = 10.0
"""How long a suspended Job of another version's making is left to its maker."""


class OutdatedError(Exception):
    """What was decided rests on what is no longer so: decide again."""


class RejectedError(Exception):
    """The API server does not take the Job or its bundle; the message says why."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def _known(fact: SchemaVersionFact) -> frozenset[bytes]:
    """Return the tags of the Migrations whose texts a run need not be given.

    None while a person's act is to be done: it may be that the database does not have what the status says.
    """
    return unpack_tags(fact.status.settled) if repair.pending(fact) is None else frozenset()


@dataclass
class Starter:
    """Makes the Jobs of runs."""

    cache: Cache
    kube: Kube
    sources: Sources
    gatherer: Gatherer
    settings: Settings
    cluster: str

    async def start(self, key: Key, wanted: Start) -> None:
        """Make the Job of a run, or finish making it.

        Raises:
            OutdatedError: if a live read shows that something else is to be done.
            RejectedError: if a quota, a policy or a namespace that is going does not let it in.
            ApiError: if the API server does not answer.
        """
        specs = await self._refresh(key.name)
        s = await self.gatherer.schema_version(key)
        if s is None or decide(s).start != wanted or s.fact.spec is None:
            raise OutdatedError
        # A look for drift needs no set.
        texts = [] if wanted.mode is Mode.CHECK else await self._texts(s, wanted.target, specs)
        order = make_order(
            s.fact,
            s.fact.spec,
            mode=wanted.mode,
            job=job_name(s.fact, wanted.input, wanted.attempt, wanted.mode),
            attempt=wanted.attempt,
            target=wanted.target,
            texts=texts,
            cluster=self.cluster,
        )
        shards = pack(order)
        body = render_job(
            s.fact,
            s.fact.spec,
            self.settings,
            run_input=wanted.input,
            attempt=wanted.attempt,
            target=wanted.target,
            shards=len(shards),
            mode=wanted.mode,
        )
        body["metadata"]["annotations"][names.ANNOTATION_BUNDLE] = hashlib.sha256(b"".join(shards)).hexdigest()
        try:
            job, made = await self._job(key, s.fact, body)
            if job.suspended and not job.deleting:
                await self._bundle(s.fact, job, shards)
                patched = await self.kube.patch(JOBS, job.namespace, job.name, {"spec": {"suspend": False}})
                self.cache.put(job_fact(patched))
        except (ForbiddenError, InvalidError) as error:
            reason, message = rejection(error.message)
            raise RejectedError(reason, message) from error
        if wanted.mode is Mode.RUN:
            self.gatherer.memory.seconds(key, "run", job.name)
        log.info(
            "run started" if made else "run adopted",
            key=str(key),
            job=job.name,
            mode=wanted.mode.value,
            attempt=wanted.attempt,
            target=wanted.target.text,
        )

    async def _refresh(self, key: Name) -> dict[str, Object]:
        """Bring the cache of a SchemaVersion and its line up to date; return the live Migrations' specs by name."""
        try:
            fact = schema_version_fact(await self.kube.get(SCHEMA_VERSIONS, key.namespace, key.name))
        except NotFoundError:
            self.cache.drop(SchemaVersionFact, key)
            raise OutdatedError from None
        self.cache.put(fact)
        line = Line(fact.namespace, fact.line)
        settled = _known(fact)
        specs: dict[str, Object] = {}
        selector = f"spec.schema={fact.line}"
        live: set[Name] = set()
        async for page in self.kube.pages(MIGRATIONS, key.namespace, field_selector=selector):
            for raw in page:
                migration = migration_fact(raw)
                self.cache.put(migration)
                live.add(Name(migration.namespace, migration.name))
                specs[migration.name] = raw["spec"]
                if migration.up is not None and is_settled(migration, migration.up, migration.down, settled):
                    # Texts that the database has are let go at once: a line may have megabytes of them.
                    specs[migration.name] = {k: v for k, v in raw["spec"].items() if k not in ("up", "down")}
        for gone in self.cache.members(line):
            name = Name(gone.namespace, gone.name)
            if name not in live:
                self.cache.drop(MigrationFact, name)
        return specs

    async def _texts(self, s: SchemaVersionSnapshot, target: Version, specs: dict[str, Object]) -> list[Texts]:
        texts = []
        settled = _known(s.fact)
        given = [m for m in s.members if m.up is not None and (m.fact.version is None or m.fact.version <= target)]
        downs = undone(s, target)
        for member in (*given, *downs):
            raw: dict[str, Any] | None = specs.get(member.fact.name)
            if raw is None:
                raise OutdatedError
            wanted = not is_settled(member.fact, member.up or "", member.down, settled)
            # What is missing here was let go above.
            spec = MigrationSpec.model_validate(raw)
            # What is to be undone has run.
            up = await self._text(s, member, spec.up, up=True) if wanted and member not in downs else None
            down = await self._text(s, member, spec.down, up=False) if wanted else None
            texts.append(Texts(member, spec, up, down))
        return texts

    async def _text(self, s: SchemaVersionSnapshot, member: Member, inline: str | None, *, up: bool) -> str | None:
        """Return a text, sure to be the one that was decided about."""
        source = member.fact.up_from if up else member.fact.down_from
        promised = member.up if up else member.down
        if source is not None:
            try:
                text = await self.sources.text(s.fact.namespace, source)
            except SourceError:
                await self.sources.state(s.fact.namespace, source, fresh=True)
                raise OutdatedError from None
        elif inline is None:
            return None
        else:
            text = inline
        if checksum(text) != promised and promised != ABSENT:
            if source is not None:
                await self.sources.state(s.fact.namespace, source, fresh=True)
            raise OutdatedError
        return text

    async def _job(self, key: Key, fact: SchemaVersionFact, body: Object) -> tuple[JobFact, bool]:
        """Create a Job, or find the one that an earlier try created; tell whether it is new."""
        try:
            made = job_fact(await self.kube.create(JOBS, fact.namespace, body))
            self.cache.put(made)
            return made, True
        except AlreadyExistsError:
            pass
        name = body["metadata"]["name"]
        try:
            raw = await self.kube.get(JOBS, fact.namespace, name)
        except NotFoundError:
            raise OutdatedError from None
        found = job_fact(raw)
        if found.owner != fact.uid:
            message = f"a Job of the name {name} exists that is not this SchemaVersion's: delete it"
            raise RejectedError(Reason.POD_REJECTED, message)
        self.cache.put(found)
        bundle = (raw["metadata"].get("annotations") or {}).get(names.ANNOTATION_BUNDLE)
        if (
            found.suspended
            and not found.deleting
            and bundle != body["metadata"]["annotations"][names.ANNOTATION_BUNDLE]
        ):
            # Another version of Lockstep packs differently: its maker finishes it, or has died.
            if self.gatherer.memory.seconds(key, "unfinished", found.uid) > FOREIGN_SECONDS:
                await self.kube.delete(
                    JOBS,
                    fact.namespace,
                    name,
                    uid=found.uid,
                    resource_version=found.resource_version,
                    propagation="Background",
                )
            raise ServerBusyError(0, "Outdated", f"Job {name} is another version's and was never started")
        return found, False

    async def _bundle(self, fact: SchemaVersionFact, job: JobFact, shards: list[bytes]) -> None:
        for body in render_shards(fact, job, shards):
            name = body["metadata"]["name"]
            try:
                await self.kube.create(CONFIG_MAPS, fact.namespace, body)
            except AlreadyExistsError:
                found = await self.kube.get(CONFIG_MAPS, fact.namespace, name)
                owners = [each.get("uid") for each in found["metadata"].get("ownerReferences") or ()]
                if job.uid not in owners:
                    message = f"ConfigMap {name} belongs to an earlier Job and has not been collected yet"
                    raise ServerBusyError(0, "Outdated", message) from None
