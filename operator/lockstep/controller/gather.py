"""Reads what a decision needs: the cache first, the API server where the cache cannot know."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from lockstep.api import names
from lockstep.api.reasons import Reason
from lockstep.controller.cache import Cache, Line, Name
from lockstep.controller.clock import Clock
from lockstep.controller.decide import repair, requires
from lockstep.controller.decide.absorb import is_recorded
from lockstep.controller.decide.drift import interval
from lockstep.controller.decide.rollback import goes_down
from lockstep.controller.decide.under_way import PENDING_AGAIN, watch_again
from lockstep.controller.facts import (
    JobFact,
    MigrationFact,
    PodFact,
    SchemaVersionFact,
    Source,
    job_fact,
    pod_fact,
)
from lockstep.controller.jobs import label_value
from lockstep.controller.keys import Key
from lockstep.controller.kube import EVENTS, JOBS, PODS, ApiError, Kube, NotFoundError
from lockstep.controller.pods import UNMOUNTED, Phase, Verdict, rejection, unmounted, verdict
from lockstep.controller.snapshot import (
    Limits,
    LineView,
    Member,
    MigrationSnapshot,
    RunView,
    SchemaVersionSnapshot,
    SourceState,
    member_of,
)
from lockstep.controller.sources import Sources
from lockstep.planning.result import Progress, Result, decode_result

TAIL_LINES = 50
"""Lines of a log that may hold its last progress."""


@dataclass
class Memory:
    """Since when this process has known something, by its own monotonic clock; lost with it, and that is fine."""

    clock: Clock
    _since: dict[tuple[object, ...], float] = field(default_factory=dict)

    def seconds(self, *key: object) -> float:
        """Return the seconds since this was first asked for."""
        now = self.clock.monotonic()
        return now - self._since.setdefault(key, now)

    def known(self, *key: object) -> bool:
        """Tell whether this has been asked for."""
        return key in self._since

    def forget(self, *key: object) -> None:
        """Start anew, for this and everything below it."""
        for each in [each for each in self._since if each[: len(key)] == key]:
            del self._since[each]


@dataclass
class Gatherer:
    """Makes snapshots."""

    cache: Cache
    kube: Kube
    sources: Sources
    clock: Clock
    memory: Memory
    limits: Limits

    async def members(self, facts: Iterable[MigrationFact], namespace: str) -> tuple[Member, ...]:
        """Return the members of these Migrations, with the checksums of texts in ConfigMaps."""
        made = []
        for fact in facts:
            states: dict[Source, SourceState] = {}
            for source in (fact.up_from, fact.down_from):
                if source is not None:
                    states[source] = await self.sources.state(namespace, source)
            made.append(member_of(fact, states))
        return tuple(made)

    def lines(self, namespace: str) -> dict[str, LineView]:
        """Return all lines of a namespace, as requirements see them."""
        return {
            line.line: LineView(tuple(self.cache.members(line)), tuple(self.cache.consumers(line)))
            for line in self.cache.lines(namespace)
        }

    async def schema_version(
        self, key: Key, rejected: tuple[Reason, str] | None = None
    ) -> SchemaVersionSnapshot | None:
        """Return the snapshot of a SchemaVersion; None if there is none.

        Raises:
            ApiError: if the API server does not answer.
        """
        fact = self.cache.schema_versions.get(key.name)
        if fact is None:
            return None
        line = Line(fact.namespace, fact.line)
        facts = self.cache.members(line)
        members = await self.members(facts, fact.namespace)
        runs, gone = await self._runs(key, fact)
        since_check, checked_here = self._check(key, fact)
        return SchemaVersionSnapshot(
            fact=fact,
            now=self.clock.now(),
            members=members,
            lines=self.lines(fact.namespace) if goes_down(fact) or any(each.requires for each in facts) else {},
            runs=runs,
            pods_left=await self._pods_left(key.name, runs),
            run_is_gone=gone,
            quiet=self.cache.quiet_for(line),
            waited=self._waited(key, fact.generation),
            since_failure=self._since_failure(key, fact),
            rejected=rejected,
            holder_left=await self._holder_left(fact),
            since_check=since_check,
            checked_here=checked_here,
            limits=self.limits,
        )

    async def _holder_left(self, fact: SchemaVersionFact) -> bool:
        """Tell whether the pod whose session shall be ended is still there: never by the cache."""
        pod = repair.ends_session(fact)
        if pod is None or not repair.is_pod_name(pod):
            return False
        try:
            return not pod_fact(await self.kube.get(PODS, fact.namespace, pod)).terminal
        except NotFoundError:
            return False

    def _check(self, key: Key, fact: SchemaVersionFact) -> tuple[float, bool]:
        """Return the seconds since the last look for drift, and whether it ended under our eyes."""
        pause = interval(fact.spec, self.limits.drift_floor) if fact.spec is not None else None
        drift, memory = fact.status.drift, self.memory
        if pause is None:
            if memory.known("check", key):
                memory.forget("check", key)
            return 0.0, False
        known = ("check", key, fact.uid, pause)
        number = drift.checks if drift is not None else 0
        if not memory.known(*known, number):
            ended_here = memory.known(*known)
            memory.forget("check", key)
            memory.seconds("check", key)
            memory.seconds(*known)
            if ended_here:
                memory.seconds(*known, "here")
        return memory.seconds(*known, number), memory.known(*known, "here")

    def _waited(self, key: Key, generation: int) -> float:
        if not self.memory.known(key, "waiting", generation):
            return 0.0
        return self.memory.seconds(key, "waiting", generation)

    def _since_failure(self, key: Key, fact: SchemaVersionFact) -> float | None:
        run = fact.status.run
        if run is None or (run.outcome != "Retryable" and run.reason != Reason.APPROVAL_REQUIRED):
            return None
        return self.memory.seconds(key, "failed", run.job)

    async def _runs(self, key: Key, fact: SchemaVersionFact) -> tuple[tuple[RunView, ...], bool]:
        """Return the Jobs of a SchemaVersion, and whether the one of its status is gone."""
        run = fact.status.run
        gone = False
        if run is not None and run.outcome == "Running" and Name(fact.namespace, run.job) not in self.cache.jobs:
            try:
                self.cache.put(job_fact(await self.kube.get(JOBS, fact.namespace, run.job)))
            except NotFoundError:
                gone = True
        jobs = [job for job in self.cache.jobs_of(key.name) if job.owner == fact.uid]
        return tuple([await self._view(key, fact, job) for job in jobs]), gone

    async def _view(self, key: Key, fact: SchemaVersionFact, job: JobFact) -> RunView:
        pods = self._pods_of(key.name, job)
        said = verdict(job, pods)
        view = RunView(job, said)
        if is_recorded(fact.status, view):
            return view
        if said.phase is Phase.ENDED and said.result is None:
            return RunView(job, await self._second_look(key.name, job))
        if job.suspended or job.deleting:
            return view
        seconds = self.memory.seconds(key, "job", job.uid, said.phase.value)
        if said.phase is Phase.PENDING and said.reason is None and seconds >= PENDING_AGAIN * 0.9:
            return RunView(job, await self._held_up(job, pods, said), seconds=seconds)
        if said.phase is Phase.RUNNING and said.pod is not None and self._log_is_due(key, job, seconds):
            return RunView(job, said, await self._progress(job, said.pod), seconds)
        return replace(view, seconds=seconds)

    def _log_is_due(self, key: Key, job: JobFact, seconds: float) -> bool:
        """Tell whether the log of a run is read at this look, of which there may be many."""
        # A little less than the pause that was asked for.
        if self.memory.seconds(key, "log", job.uid) < watch_again(seconds) * 0.9:
            return False
        self.memory.forget(key, "log")
        self.memory.seconds(key, "log", job.uid)
        return True

    def _pods_of(self, key: Name, job: JobFact) -> list[PodFact]:
        return [pod for pod in self.cache.pods_of(key) if pod.job_uid == job.uid]

    async def _second_look(self, key: Name, job: JobFact) -> Verdict:
        """Judge an end without a result once more: by live pods (the watches are not in step), and by the log."""
        await self._refresh_pods(key)
        pods = self._pods_of(key, job)
        said = verdict(job, pods)
        if said.phase is not Phase.ENDED or said.result is not None or not pods:
            return said
        return verdict(job, pods, await self._result_in_log(pods[-1]))

    async def _refresh_pods(self, key: Name) -> None:
        selector = f"{names.LABEL_WATCH}={names.WATCH_RUN},{names.LABEL_SCHEMA_VERSION}={label_value(key.name)}"
        live = {}
        for raw in await self.kube.list_all(PODS, key.namespace, label_selector=selector):
            pod = pod_fact(raw)
            live[pod.name] = pod
            self.cache.put(pod)
        for pod in self.cache.pods_of(key):
            if pod.name not in live:
                self.cache.drop(PodFact, Name(pod.namespace, pod.name), pod.uid)

    async def _result_in_log(self, pod: PodFact) -> Result | None:
        for line in reversed(await self._tail(pod.namespace, pod.name)):
            if (found := decode_result(line)) is not None:
                return found
        return None

    async def _tail(self, namespace: str, pod: str) -> list[str]:
        try:
            return await self.kube.log_tail(namespace, pod, TAIL_LINES)
        except ApiError:
            # The log is a second source only: its node may be gone.
            return []

    async def _held_up(self, job: JobFact, pods: Sequence[PodFact], said: Verdict) -> Verdict:
        """Say why there is no pod, or why it does not get its volume: what neither status says, but events do."""
        if pods:
            pod = next((each for each in pods if each.name == said.pod), None)
            return await self._without_volume(pod, said) if pod is not None and pod.claim else said
        # Quota and PodSecurity are what the Job controller meets.
        selector = f"involvedObject.uid={job.uid},reason=FailedCreate"
        found = await self.kube.list_all(EVENTS, job.namespace, field_selector=selector)
        if not found:
            return said
        reason, message = rejection(str(found[-1].get("message", "")))
        return replace(said, reason=reason, message=message)

    async def _without_volume(self, pod: PodFact, said: Verdict) -> Verdict:
        found = await self.kube.list_all(EVENTS, pod.namespace, field_selector=f"involvedObject.uid={pod.uid}")
        told = [each for each in found if each.get("reason") in UNMOUNTED]
        if not told:
            return said
        last = max(told, key=lambda each: str(each.get("lastTimestamp") or each.get("eventTime") or ""))
        reason, message = unmounted(pod, str(last.get("message", "")))
        return replace(said, reason=reason, message=message)

    async def _progress(self, job: JobFact, pod: str) -> Progress | None:
        for line in reversed(await self._tail(job.namespace, pod)):
            if (found := Progress.decode(line)) is not None:
                return found
        return None

    async def _pods_left(self, name: Name, runs: tuple[RunView, ...]) -> tuple[str, ...]:
        left = [pod.name for pod in self.cache.pods_of(name) if not pod.terminal]
        if left and not any(view.verdict.phase is not Phase.ENDED for view in runs):
            await self._refresh_pods(name)
            left = [pod.name for pod in self.cache.pods_of(name) if not pod.terminal]
        return tuple(left)

    async def migration(self, key: Key) -> MigrationSnapshot | None:
        """Return the snapshot of a Migration; None if there is none.

        Raises:
            ApiError: if the API server does not answer.
        """
        fact = self.cache.migrations.get(key.name)
        if fact is None:
            return None
        line = Line(fact.namespace, fact.line)
        (member,) = await self.members([fact], fact.namespace)
        cycle: list[str] = []
        if fact.requires and fact.version is not None:
            cycle = requires.find_cycle([(fact.line, fact.version.key)], self.lines(fact.namespace))
        return MigrationSnapshot(
            member=member,
            now=self.clock.now(),
            twins=tuple(each.name for each in self.cache.twins(fact)),
            cycle=tuple(cycle),
            consumers=tuple(self.cache.consumers(line)),
            waited=self._waited(key, fact.generation),
        )
