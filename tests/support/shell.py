"""Runs shell blocks of the pages as a reader would, against the cluster of the tests."""

import os
import subprocess
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from support import pages
from support.kube import KUBECONFIG, ROOT

_STAND_INS: Final = {
    # To install it would take the place of the operator that the tests run with: the API server says what it thinks.
    "helm": '#!/bin/sh\n[ "$1" != upgrade ] || set -- "$@" --dry-run=server\nexec {real} "$@"\n',
    # The cluster is there, and has its image.
    "make": '#!/bin/sh\n{real} --dry-run "$@" > /dev/null\n',
}
"""Programs that would do more than a test may: what they are told is looked at by the program itself."""


class Shell:
    """A shell in one namespace, with the programs of this checkout.

    Args:
        folder: where it may write.
        namespace: where kubectl and helm work, unless they are told another one.
    """

    def __init__(self, folder: Path, namespace: str) -> None:
        bin_ = folder / "bin"
        bin_.mkdir()
        local = ROOT / ".local" / "bin"
        for name, program in {"kubectl": local / "kubectl", "lockstep": ROOT / ".venv/bin/lockstep"}.items():
            if program.exists():
                (bin_ / name).symlink_to(program)
        for name, text in _STAND_INS.items():
            real = local / name
            (bin_ / name).write_text(text.format(real=real if real.exists() else f"/usr/bin/{name}"))
            (bin_ / name).chmod(0o755)
        # A copy, whose namespace can be changed.
        config = folder / "kubeconfig"
        config.write_text(KUBECONFIG.read_text())
        self._environment = {**os.environ, "PATH": f"{bin_}:{os.environ['PATH']}", "KUBECONFIG": str(config)}
        self.run(f"kubectl config set-context --current --namespace={namespace}", folder)

    def run(self, text: str, here: Path) -> str:
        """Run lines in a folder, each of which must succeed, and return what they print."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text],
            cwd=here,
            check=False,
            capture_output=True,
            text=True,
            env=self._environment,
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
        return done.stdout

    @contextmanager
    def reading(
        self, page: str, here: Path | None = None, mine: Mapping[str, str] | None = None
    ) -> Iterator[Callable[[], str]]:
        """Yield what runs the page's next shell block and returns what it prints; all of them must be run.

        Where the page says what a block prints, that is compared.

        Args:
            page: its path from the root.
            here: the folder of the reader; that of an example is its own, otherwise the root.
            mine: what the reader has other than the page.
        """
        if here is None:
            here = (ROOT / page).parent if page.startswith("examples/") else ROOT
        every = pages.blocks(page)
        left = deque(
            (block, following.text if following is not None and pages.is_printed(block, following) else "")
            for block, following in zip(every, (*every[1:], None), strict=True)
            if block.language == "sh" and block.name not in pages.NOT_RUN
        )

        def run_next() -> str:
            block, expected = left.popleft()
            text = block.text
            for theirs, own in (mine or {}).items():
                text = text.replace(theirs, own)
            printed = self.run(text, here)
            assert printed.endswith(expected), f"{text}\nprints {printed!r}\nnot {expected!r}"
            return printed

        yield run_next
        assert not left, f"{page} has more to run"
