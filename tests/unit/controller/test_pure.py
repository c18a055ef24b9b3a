"""Hashes, patches, conditions, requirements, Jobs: for any input."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstep.api import names
from lockstep.api.reasons import Reason
from lockstep.api.schemaversion import SchemaVersionSpec
from lockstep.api.status import Condition, ConditionStatus
from lockstep.controller import jobs
from lockstep.controller.decide.requires import find_cycle
from lockstep.controller.inputs import RunInput, pack_tags, run_input, tag, unpack_tags
from lockstep.controller.pods import rejection
from lockstep.controller.settings import InvalidSettingError, load
from lockstep.controller.snapshot import LineView
from lockstep.controller.status import Wish, conditions, merge_patch
from lockstep.planning.digest import SetMember
from lockstep.planning.version import Version
from lockstep.planning.wire import Mode
from support.controller import a_job, a_migration, a_schema_version, apply_merge_patch

SPEC = SchemaVersionSpec.model_validate({"database": {"secretRef": {"name": "db"}}})
SETTINGS = load({"POD_NAMESPACE": "ns", "LOCKSTEP_IMAGE": "lockstep:1"})
JSON = st.recursive(
    st.integers() | st.text(max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
    max_leaves=8,
)
OBJECT = st.dictionaries(st.sampled_from("abcd"), JSON, max_size=4)


@given(OBJECT, OBJECT)
def test_a_merge_patch_makes_the_new_out_of_the_old(old: dict[str, Any], new: dict[str, Any]) -> None:
    patch = merge_patch(old, new)
    assert apply_merge_patch(old, patch) == new
    assert (patch == {}) is (old == new)


@given(st.lists(st.binary(min_size=4, max_size=4)))
def test_tags_survive_the_status(tags: list[bytes]) -> None:
    assert unpack_tags(pack_tags(tags)) == set(tags)


def test_too_many_or_damaged_tags_are_none() -> None:
    assert pack_tags(number.to_bytes(4, "big") for number in range(7000)) is None
    assert unpack_tags("%%%") == frozenset()
    text = pack_tags(number.to_bytes(4, "big") for number in range(6000))
    assert text is not None
    assert len(text) <= 32768


def members(*texts: str) -> list[SetMember]:
    return [SetMember("m", Version.parse(str(n + 1)), text) for n, text in enumerate(texts)]


def test_what_changes_the_input_and_what_does_not() -> None:
    def of(spec: dict[str, Any] | None = None, retry: str | None = None, target: str = "2", *texts: str) -> RunInput:
        made = SchemaVersionSpec.model_validate({"database": {"secretRef": {"name": "db"}}, **(spec or {})})
        return run_input("orders", Version.parse(target), made, members(*(texts or ("a", "b"))), retry=retry)

    base = of()
    # Approving a plan, or asking for looks for drift, is no other work.
    more = {"suspend": True, "approvedPlans": ["sha256:" + "0" * 64], "driftCheck": "1h"}
    assert of({"progressDeadline": "1h", **more}) == base
    # Another policy is a reason to plan anew, but not to run where nothing is to do.
    for policy in ({"rollback": "Allow"}, {"approval": "Manual"}, {"baseline": "1"}, {"adopt": {"history": "goose"}}):
        other = of(policy)
        assert (other.base, other.members) == (base.base, base.members)
        assert not other.same_work(base)
    for quiet in ({"drift": "Block"}, {"driftOptions": {"ignore": ["x"]}}, {"execution": {"deadline": "2h"}}):
        assert of(quiet) != base
        assert of(quiet).same_work(base)
    assert of(target="2.0") == base
    for other in (
        of({"database": {"secretRef": {"name": "other"}}}),
        of({"outOfOrder": "Allow"}),
        of({"migrations": {"digest": "sha256:" + "0" * 64}}),
        of(retry="1"),
        of(None, None, "3"),
        of(None, None, "2", "a", "c"),
    ):
        assert not base.same_work(other)
    limits = of({"execution": {"deadline": "2h"}})
    assert limits != base
    assert limits.same_work(base)
    assert RunInput.parse(str(base)) == base
    # As the version before wrote it.
    old = RunInput.parse(f"{base.base}-{base.members}-{base.execution}")
    assert old.same_work(base)
    assert base.same_work(old)
    assert not RunInput.parse(None).same_work(base)
    assert len(str(base)) <= 64
    assert tag(members("a")[0]) != tag(members("b")[0])


def test_times_of_conditions_move_with_their_status_only() -> None:
    def made(old: list[Condition], status: ConditionStatus, reason: Reason, now: str) -> Condition:
        wish = Wish("Ready", status, reason, "x")
        return conditions(old, [wish], generation=1, now=now)[0]

    first = made([], "False", Reason.RUNNING, "t1")
    second = made([first], "False", Reason.UNREACHABLE, "t2")
    third = made([second], "True", Reason.UP_TO_DATE, "t3")
    assert [each.last_transition_time for each in (first, second, third)] == ["t1", "t1", "t3"]
    foreign = first.model_copy(update={"type": "example.com/Theirs"})
    kept = conditions([foreign], [], generation=1, now="t")
    assert kept == [foreign]


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 4), st.sampled_from("ab"), st.integers(1, 4)), max_size=8)
)
def test_a_circle_is_found_if_and_only_if_there_is_one(edges: list[tuple[str, int, str, int]]) -> None:
    lines: dict[str, LineView] = {}
    graph: dict[tuple[str, int], set[tuple[str, int]]] = {}
    for line in "ab":
        facts = []
        for number in range(1, 5):
            needs = [{"schema": to, "version": str(v)} for name, n, to, v in edges if (name, n) == (line, number)]
            facts.append(a_migration(f"{line}{number}", str(number), line, requires=needs))
            graph[line, number] = {(need["schema"], int(need["version"])) for need in needs}
            if number > 1:
                graph[line, number].add((line, number - 1))
        lines[line] = LineView(tuple(facts), ())

    def reaches(start: tuple[str, int], goal: tuple[str, int], seen: set[tuple[str, int]]) -> bool:
        return any(each == goal or (each not in seen and reaches(each, goal, seen | {each})) for each in graph[start])

    circular = any(reaches(node, node, set()) for node in graph)
    found = find_cycle([(line, (number,)) for line, number in graph], lines)
    assert bool(found) is circular
    if found:
        assert found[0] == found[-1]


def test_a_long_line_is_no_deep_recursion() -> None:
    facts = tuple(a_migration(f"m{number}", str(number)) for number in range(1, 3000))
    assert find_cycle([("orders", (2999,))], {"orders": LineView(facts, ())}) == []


@pytest.mark.parametrize("name", ["orders", "a" * 253, "with.dots." * 20 + "x", "x" * 45 + ".y"])
def test_names_of_jobs_fit_and_tell_apart(name: str) -> None:
    fact = a_schema_version(name)
    first, second = (RunInput(base, "m", "p", "e") for base in ("1", "2"))
    found = jobs.job_name(fact, first, 1)
    assert len(found) <= 57
    assert "." not in found
    assert not found.startswith("-")
    assert found == jobs.job_name(fact, first, 1)
    others = [jobs.job_name(fact, second, 1), jobs.job_name(fact, first, 2)]
    others += [jobs.job_name(fact, first, 1, mode) for mode in (Mode.PLAN, Mode.CHECK)]
    assert len({found, *others}) == 5
    assert all(len(each) <= 57 for each in others)
    assert len(jobs.label_value(name)) <= 63


def job(**execution: Any) -> dict[str, Any]:
    fact = a_schema_version(execution=execution, retry="again")
    assert fact.spec is not None
    return jobs.render_job(
        fact,
        fact.spec,
        SETTINGS,
        run_input=RunInput("b", "m", "p", "e"),
        attempt=3,
        target=Version.parse("0002"),
        shards=2,
    )


def test_a_job_as_it_must_be() -> None:
    made = job(deadline="90s")
    spec, template = made["spec"], made["spec"]["template"]
    pod = template["spec"]
    (container,) = pod["containers"]
    assert (spec["suspend"], spec["backoffLimit"], spec["podReplacementPolicy"]) == (True, 0, "Failed")
    assert "ttlSecondsAfterFinished" not in spec
    assert 90 < pod["activeDeadlineSeconds"] < spec["activeDeadlineSeconds"]
    assert pod["terminationGracePeriodSeconds"] == 30
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert container["command"] == ["python", "-m", "lockstep.runner"]
    assert "env" in container
    assert all("valueFrom" in each for each in container["env"])
    (secret,) = [each for each in pod["volumes"] if "secret" in each]
    assert secret["secret"] == {"secretName": "db", "optional": True}
    (bundle,) = [each for each in pod["volumes"] if "projected" in each]
    paths = [each["configMap"]["items"][0]["path"] for each in bundle["projected"]["sources"]]
    assert paths == ["000", "001"]
    assert made["metadata"]["annotations"][names.ANNOTATION_RETRY] == "again"
    assert made["metadata"]["ownerReferences"][0].get("blockOwnerDeletion") is None


def test_what_users_may_set_and_what_not() -> None:
    made = job(
        podLabels={"team": "a", names.LABEL_WATCH: "no"},
        podAnnotations={"sidecar.istio.io/inject": "false", names.ANNOTATION_OWNER: "other"},
        nodeSelector={"disk": "ssd"},
        tolerations=[{"key": "k", "operator": "Exists"}],
        imagePullSecrets=[{"name": "pull"}],
        serviceAccountName="runner",
        resources={"requests": {"cpu": "1"}},
    )
    template = made["spec"]["template"]
    assert template["metadata"]["labels"]["team"] == "a"
    assert template["metadata"]["labels"][names.LABEL_WATCH] == names.WATCH_RUN
    assert template["metadata"]["annotations"][names.ANNOTATION_OWNER] == "orders"
    assert template["metadata"]["annotations"]["sidecar.istio.io/inject"] == "false"
    pod = template["spec"]
    assert pod["nodeSelector"] == {"disk": "ssd"}
    assert pod["serviceAccountName"] == "runner"
    assert pod["imagePullSecrets"] == [{"name": "pull"}]
    assert pod["containers"][0]["resources"] == {"requests": {"cpu": "1"}}
    json.dumps(made)


def test_shards_belong_to_the_job() -> None:
    fact = a_schema_version()
    first, second = jobs.render_shards(fact, a_job("orders-x-1", "i"), [b"a", b"b"])
    assert first["immutable"] is second["immutable"] is True
    assert first["metadata"]["name"] == "orders-x-1-000"
    assert first["metadata"]["ownerReferences"][0]["uid"] == "uid-orders-x-1"
    assert first["binaryData"] == {"shard": "YQ=="}


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ('jobs.batch "x" is forbidden: exceeded quota: q, requested: count/jobs.batch=1', Reason.QUOTA_EXCEEDED),
        ("failed quota: q: must specify limits.cpu for: runner", Reason.QUOTA_EXCEEDED),
        ("unable to create new content in namespace x because it is being terminated", Reason.NAMESPACE_TERMINATING),
        ('violates PodSecurity "restricted:latest": runAsNonRoot != true', Reason.POD_REJECTED),
    ],
)
def test_why_a_pod_was_rejected(message: str, reason: Reason) -> None:
    found, said = rejection(message)
    assert found is reason
    assert message[:30] in said


@pytest.mark.parametrize(
    ("environment", "names_"),
    [
        ({"LOCKSTEP_IMAGE": "i"}, "POD_NAMESPACE"),
        ({"POD_NAMESPACE": "n"}, "LOCKSTEP_IMAGE"),
        ({"POD_NAMESPACE": "n", "LOCKSTEP_IMAGE": "i", "LOCKSTEP_WORKERS": "many"}, "LOCKSTEP_WORKERS"),
        ({"POD_NAMESPACE": "n", "LOCKSTEP_IMAGE": "i", "LOCKSTEP_WORKERS": "0"}, "LOCKSTEP_WORKERS"),
        ({"POD_NAMESPACE": "n", "LOCKSTEP_IMAGE": "i", "LOCKSTEP_LEASE_SECONDS": "9"}, "LOCKSTEP_LEASE_SECONDS"),
    ],
)
def test_wrong_settings_are_named(environment: dict[str, str], names_: str) -> None:
    with pytest.raises(InvalidSettingError, match=names_):
        load(environment)


def test_settings() -> None:
    made = load({"POD_NAMESPACE": "n", "LOCKSTEP_IMAGE": "i", "LOCKSTEP_WATCH_NAMESPACES": "a, b,,a"})
    assert made.watch_namespaces == ("a", "b")
    assert made.settle_seconds == 1.0
    assert made.write_timeout == 5.0
