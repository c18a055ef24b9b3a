"""A real project's migrations for every dialect, where they are at hand: up, and down to nothing."""

from engines.compliance.samples import FREE
from engines.compliance.target import Place, Target
from servers.corpora import NEEDED, load
from servers.runner import Pod, order

FOLDERS = {"postgresql": "postgres", "mysql": "mysql", "mariadb": "mysql", "sqlite": "sqlite"}
DOWNS_FAIL = ("mysql", "mariadb")
"""Where the project's own downs do not work: how they are met is in engines/mysql/test_corpora.py."""

pytestmark = NEEDED


def test_authelia_up_and_down_to_nothing(place: Place, target: Target, pod: Pod) -> None:
    wanted = load(f"authelia/{FOLDERS[target.engine]}")
    ended = pod.run(order(*wanted), place.secret)
    assert (ended.code, ended.result.applied) == (0, len(wanted)), ended.text[-3000:]
    assert len(place.tables()) > 15
    if target.engine in DOWNS_FAIL:
        return
    ended = pod.run(order(target="base", policy=FREE), place.secret)
    assert (ended.code, ended.result.version) == (0, "base"), ended.text[-3000:]
    assert place.tables() == set()
    # And once more: nothing is left that would be in the way.
    assert pod.run(order(*wanted), place.secret).result.applied == len(wanted)
