"""Sets that are incomplete, contradictory or not what was meant: named, and healed by what is missing."""

from lockstep.planning.checksum import checksum
from lockstep.planning.digest import SetMember, set_digest
from lockstep.planning.version import Version
from support.kube import Kube, condition, config_map, migration, schema_version
from support.targets import Target

CREATE = "CREATE TABLE a (id int)"
EXTEND = "ALTER TABLE a ADD COLUMN b text"


def digest(*texts: tuple[str, str]) -> dict[str, str]:
    members = [SetMember("x", Version.parse(version), checksum(up)) for version, up in texts]
    return {"digest": set_digest(members, None)}


def message(found: dict[str, object]) -> str:
    return str(condition(found, "Ready")["message"])


def test_two_migrations_of_one_version(kube: Kube, target: Target) -> None:
    kube.apply(
        migration("orders", "0003", CREATE, name="first"),
        migration("orders", "3.0", CREATE, name="second"),
        target.secret(),
        schema_version("orders"),
    )
    found = kube.wait_reason("SchemaVersion", "orders", "DuplicateVersion")
    assert condition(found, "Stalled")["status"] == "True"
    assert "first" in message(found)
    assert "second" in message(found)
    for name, other in (("first", "second"), ("second", "first")):
        assert other in message(kube.wait_reason("Migration", name, "DuplicateVersion"))
    assert target.tables() == set()

    kube.delete("Migration", "second")
    kube.wait_reason("SchemaVersion", "orders", "UpToDate")
    kube.wait_reason("Migration", "first", "Valid")
    assert target.tables() == {"a"}


def test_a_target_that_does_not_exist_yet(kube: Kube, target: Target) -> None:
    kube.apply(
        migration("orders", "1", CREATE), target.secret(), schema_version("orders", version="2", progressDeadline="2s")
    )
    found = kube.wait_reason("SchemaVersion", "orders", "TargetNotFound")
    assert "2" in message(found)
    # Waiting is progress until the deadline, and then no longer.
    kube.wait("SchemaVersion", "orders", lambda sv: condition(sv, "Stalled").get("status") == "True", "is Stalled")
    assert target.tables() == set()

    kube.apply(migration("orders", "2", EXTEND))
    found = kube.wait_reason("SchemaVersion", "orders", "UpToDate")
    assert found["status"]["version"] == "2"
    assert target.tables() == {"a"}


def test_a_set_that_does_not_match_its_digest(kube: Kube, target: Target) -> None:
    kube.apply(
        target.secret(),
        schema_version("orders", version="2", migrations=digest(("1", CREATE), ("2", EXTEND))),
        migration("orders", "2", EXTEND),
    )
    kube.wait_reason("SchemaVersion", "orders", "WaitingForMigrations")
    kube.apply(migration("orders", "1", "CREATE TABLE wrong ()"))
    kube.wait_reason("Migration", "orders-1", "Valid")
    kube.wait_reason("SchemaVersion", "orders", "WaitingForMigrations")
    assert target.tables() == set()

    kube.apply(migration("orders", "1", CREATE))
    kube.wait_reason("SchemaVersion", "orders", "UpToDate")
    assert target.tables() == {"a"}


def test_a_requirement_on_another_line(kube: Kube, target: Target, other_target: Target) -> None:
    kube.apply(
        migration("orders", "1", CREATE, requires=[{"schema": "auth", "version": "2"}]),
        target.secret(),
        schema_version("orders"),
    )
    found = kube.wait_reason("SchemaVersion", "orders", "RequirementNotMet")
    assert "auth" in message(found)
    assert "2" in message(found)

    kube.apply(
        migration("auth", "1", "CREATE TABLE u ()"), other_target.secret("other"), schema_version("auth", "other")
    )
    kube.wait_reason("SchemaVersion", "auth", "UpToDate")
    kube.wait_reason("SchemaVersion", "orders", "RequirementNotMet")
    assert target.tables() == set()

    kube.apply(migration("auth", "2", "CREATE TABLE v ()"))
    kube.wait_reason("SchemaVersion", "orders", "UpToDate")
    assert target.tables() == {"a"}


def test_requirements_in_a_circle(kube: Kube, target: Target) -> None:
    kube.apply(
        migration("orders", "1", CREATE, requires=[{"schema": "auth", "version": "1"}]),
        migration("auth", "1", CREATE, requires=[{"schema": "orders", "version": "1"}]),
        target.secret(),
        schema_version("orders"),
        schema_version("auth"),
    )
    for name in ("orders", "auth"):
        found = kube.wait_reason("SchemaVersion", name, "CircularRequirement")
        assert "orders" in message(found)
        assert "auth" in message(found)
        assert condition(found, "Stalled")["status"] == "True"


def test_a_text_in_a_config_map_that_is_missing(kube: Kube, target: Target) -> None:
    late = migration("orders", "1", CREATE)
    late["spec"]["upFrom"] = {"configMapKeyRef": {"name": "texts", "key": "1.sql"}}
    del late["spec"]["up"]
    kube.apply(late, target.secret(), schema_version("orders"))
    assert "texts" in message(kube.wait_reason("Migration", "orders-1", "SourceNotFound"))
    kube.wait_reason("SchemaVersion", "orders", "InvalidMigration")

    kube.apply(config_map("texts", **{"2.sql": CREATE}))
    kube.wait("Migration", "orders-1", lambda mig: "1.sql" in message(mig), "names the key")
    kube.wait_reason("Migration", "orders-1", "SourceNotFound")

    kube.apply(config_map("texts", **{"1.sql": CREATE}))
    kube.wait_reason("SchemaVersion", "orders", "UpToDate")
    assert target.tables() == {"a"}
    assert kube.get("Migration", "orders-1")["status"]["checksum"] == checksum(CREATE)


def test_what_a_later_version_brings_is_refused_by_name(kube: Kube, target: Target) -> None:
    framework = {"name": "rails", "image": "registry.example/app:1"}
    rails = migration("orders", "1", CREATE, framework=framework)
    del rails["spec"]["up"]
    kube.apply(target.secret(), rails, schema_version("orders"))
    assert "framework" in message(kube.wait_reason("Migration", "orders-1", "NotSupportedYet"))
    found = kube.wait_reason("SchemaVersion", "orders", "NotSupportedYet")
    assert condition(found, "Stalled")["status"] == "True"
    assert target.tables() == set()


def test_suspended(kube: Kube, target: Target) -> None:
    kube.apply(target.secret(), migration("orders", "1", CREATE), schema_version("orders", suspend=True))
    kube.wait_reason("SchemaVersion", "orders", "Suspended")
    assert target.tables() == set()
    kube.patch("SchemaVersion", "orders", {"spec": {"suspend": False}})
    kube.wait_reason("SchemaVersion", "orders", "UpToDate")
    assert target.tables() == {"a"}


def test_a_schema_version_that_comes_first(kube: Kube, target: Target) -> None:
    """Without a digest: an empty line is not taken for a complete one while its Migrations are on their way."""
    kube.apply(
        target.secret(), schema_version("orders"), migration("orders", "1", CREATE), migration("orders", "2", EXTEND)
    )
    kube.wait_reason("SchemaVersion", "orders", "UpToDate")
    found = kube.get("SchemaVersion", "orders")["status"]
    assert (found["version"], found["run"]["attempt"]) == ("2", 1)
    assert len(kube.list("Job")) == 1
