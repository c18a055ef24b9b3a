"""Wires the operator: first the Lease, then the cache, then workers and watches; the other way round at the end."""

import asyncio
import signal
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import aiohttp
import kopf
import structlog
from aiohttp import web
from kubernetes.aio.config import ConfigException

from lockstep.controller import metrics
from lockstep.controller.cache import Cache
from lockstep.controller.clock import Clock, SystemClock
from lockstep.controller.events import Announcer
from lockstep.controller.gather import Gatherer, Memory
from lockstep.controller.health import Health, make_app
from lockstep.controller.keys import Key, is_urgent
from lockstep.controller.kube import (
    MIGRATIONS,
    NAMESPACES,
    SCHEMA_VERSIONS,
    ApiError,
    ForbiddenError,
    Kube,
    NotFoundError,
    load_configuration,
)
from lockstep.controller.leader import EXIT_LOST, Leader, LeadershipLostError, Watchdog, new_identity
from lockstep.controller.queue import WorkQueue
from lockstep.controller.reconcile import Reconciler
from lockstep.controller.resync import Resync
from lockstep.controller.settings import Settings
from lockstep.controller.snapshot import Limits
from lockstep.controller.sources import Sources
from lockstep.controller.start import Starter
from lockstep.controller.watch import Intake, Streams, kopf_registry, kopf_settings

log = structlog.get_logger("lockstep.app")
EXIT_FAILED = 1
DRAIN_SECONDS = 5.0
"""How long work on a key may still take once the process is asked to end."""


class CannotStartError(Exception):
    """Something that the operator needs is not there; the message says what to do."""

    fatal = True


class App:
    """One replica of the operator."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self.settings = settings
        self.clock: Clock = clock or SystemClock()
        self.stopping = asyncio.Event()

    async def run(self) -> int:
        """Run until asked to end, or until the Lease is lost; return the exit code."""
        try:
            configuration = await load_configuration()
        except ConfigException as error:
            log.critical("no way to the API server", error=str(error))
            return EXIT_FAILED
        lease_kube = Kube(configuration, on_request=_count_request)
        leader = Leader(
            lease_kube,
            self.clock,
            self.settings.pod_namespace,
            self.settings.lease_name,
            new_identity(self.settings.pod_name),
            self.settings.lease_seconds,
            self.settings.renew_seconds,
            self.settings.retry_seconds,
        )
        kube = Kube(
            configuration,
            write_timeout=self.settings.write_timeout,
            before_write=leader.check,
            on_request=_count_request,
        )
        health = Health(self.clock, leader)
        runner = await self._serve(health)
        self._catch_signals()
        watchdog = Watchdog(lambda: self._may_go_on(leader))
        try:
            if not await self._until_stopped(leader.acquire()):
                return 0
            watchdog.start()
            metrics.LEADER.set(1)
            code = await self._lead(kube, leader, health)
            watchdog.stop()
            await leader.release()
            return code
        finally:
            watchdog.stop()
            with suppress(aiohttp.ClientError, OSError):
                await runner.cleanup()
                await kube.close()
                await lease_kube.close()

    def _may_go_on(self, leader: Leader) -> bool:
        """Tell whether a leader's process may live: a little longer than it may write, and not until others may."""
        if leader.renewed_at is None:
            return False
        margin = min(1.0, (self.settings.lease_seconds - self.settings.renew_seconds) / 2)
        return self.clock.monotonic() - leader.renewed_at < self.settings.renew_seconds + margin

    async def _serve(self, health: Health) -> web.AppRunner:
        def collect() -> None:
            if health.cache is not None:
                for kind, count in health.cache.sizes().items():
                    metrics.RESOURCES.labels(kind).set(count)
            if health.queue is not None:
                metrics.QUEUE.set(len(health.queue))
            if health.streams is not None:
                metrics.WATCH_AGE.set(health.streams.age())

        runner = web.AppRunner(make_app(health, collect), access_log=None, handle_signals=False)
        await runner.setup()
        if self.settings.http_port:
            try:
                await web.TCPSite(runner, port=self.settings.http_port).start()
            except OSError as error:
                raise CannotStartError(f"port {self.settings.http_port} cannot be served: {error.strerror}") from error
        return runner

    def _catch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(each, self.stopping.set)

    async def _until_stopped(self, work: Coroutine[Any, Any, None]) -> bool:
        """Wait for some work; False if the process was asked to end before it was done."""
        task = asyncio.create_task(work)
        stop = asyncio.create_task(self.stopping.wait())
        done, _ = await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if task in done:
            await task
            return True
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        return False

    async def _lead(self, kube: Kube, leader: Leader, health: Health) -> int:
        """Work as the leader; return the exit code."""
        code = 0
        try:
            async with asyncio.TaskGroup() as group:
                renewal = group.create_task(leader.renew_forever(), name="lease")
                await self._work(kube, health)
                renewal.cancel()
        except* LeadershipLostError as lost:
            log.critical("lease lost", error=str(lost.exceptions[0]))
            code = EXIT_LOST
        except* (CannotStartError, ApiError) as failed:
            log.critical("cannot start", error=str(failed.exceptions[0]))
            code = EXIT_FAILED
        except* Exception as failed:
            log.critical("the operator failed", exc_info=failed)
            code = EXIT_FAILED
        return code

    async def _work(self, kube: Kube, health: Health) -> None:
        settings = self.settings
        namespaces: tuple[str | None, ...] = settings.watch_namespaces or (None,)
        await check_crds(kube, namespaces)
        cluster = await cluster_id(kube, settings)
        cache = Cache(self.clock, settings.serves)
        queue: WorkQueue[Key] = WorkQueue(self.clock, urgent=is_urgent)
        memory = Memory(self.clock)
        sources = Sources(kube, self.clock)
        limits = Limits(
            settle=settings.settle_seconds,
            backoff=settings.backoff_seconds,
            backoff_max=settings.backoff_max_seconds,
            drift_floor=settings.drift_floor_seconds,
            image=settings.image,
        )
        gatherer = Gatherer(cache, kube, sources, self.clock, memory, limits)
        starter = Starter(cache, kube, sources, gatherer, settings, cluster)
        reconciler = Reconciler(
            cache, kube, gatherer, starter, Announcer(kube, self.clock), memory, queue, self.clock, settings
        )
        intake = Intake(cache, queue)
        resync = Resync(cache, kube, queue, intake, sources, namespaces)
        streams = Streams()
        health.cache, health.queue, health.streams = cache, queue, streams
        await resync.fill()
        async with asyncio.TaskGroup() as group:
            timer = group.create_task(queue.run_timer(), name="timer")
            again = group.create_task(resync.run_forever(settings.resync_seconds), name="resync")
            workers = [
                group.create_task(queue.run_worker(reconciler.work, self.stopping), name=f"worker-{number}")
                for number in range(settings.workers)
            ]
            health.synced = True
            await self._watch(kube, intake, streams)
            # In this order: no new facts, no new keys, then what is being worked on ends.
            for task in (timer, again):
                task.cancel()
            await _drain(queue, workers)

    async def _watch(self, kube: Kube, intake: Intake, streams: Streams) -> None:
        """Watch until the process is asked to end.

        Raises:
            RuntimeError: if the watches end by themselves.
        """
        ours = asyncio.all_tasks()
        tasks = await kopf.spawn_tasks(
            registry=kopf_registry(intake, kube.api_client, streams),
            settings=kopf_settings(),
            standalone=True,
            clusterwide=not self.settings.watch_namespaces,
            namespaces=self.settings.watch_namespaces,
            stop_flag=self.stopping,
            identity=None,
        )
        # kopf has put its own handlers in their place.
        self._catch_signals()
        await kopf.run_tasks(tasks, ignored=ours)
        if not self.stopping.is_set():
            raise RuntimeError("the watches have ended")


async def _drain(queue: WorkQueue[Key], workers: list[asyncio.Task[None]]) -> None:
    """Let the workers finish the keys that they are at, for a few seconds; end the idle ones at once."""
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            await queue.wait_until_idle()
    except TimeoutError:
        log.warning("work cut short", oldest=round(queue.oldest_work(), 1))
    for task in workers:
        task.cancel()


async def check_crds(kube: Kube, namespaces: tuple[str | None, ...]) -> None:
    """Make sure that the API server knows our resources.

    Raises:
        CannotStartError: if it does not, or does not let us list them.
    """
    for resource in (MIGRATIONS, SCHEMA_VERSIONS):
        for namespace in namespaces:
            try:
                async for _ in kube.pages(resource, namespace, metadata_only=True):
                    break
            except NotFoundError:
                raise CannotStartError(
                    f"the API server does not know {resource.plural}.{resource.group}: "
                    "install the CRDs (kubectl apply --server-side -f crds/)"
                ) from None
            except ForbiddenError as error:
                raise CannotStartError(
                    f"{resource.plural}.{resource.group} cannot be listed: {error.message}"
                ) from None


async def cluster_id(kube: Kube, settings: Settings) -> str:
    """Return what tells this cluster from others in ledgers: the UID of kube-system, or what was configured."""
    if settings.cluster_id:
        return settings.cluster_id
    try:
        found = await kube.get(NAMESPACES, None, "kube-system")
    except (ForbiddenError, NotFoundError) as error:
        raise CannotStartError(
            f"the namespace kube-system cannot be read ({error.message}): set LOCKSTEP_CLUSTER_ID"
        ) from None
    return str(found["metadata"]["uid"])


def _count_request(method: str, plural: str, status: int) -> None:
    metrics.REQUESTS.labels(method, plural, str(status)).inc()
