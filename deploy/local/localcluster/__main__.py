"""The commands behind `make cluster`, `make cluster-down` and `make image` with CLUSTER=local."""

import sys
import time

import typer
from rich.text import Text

from localcluster import binaries, cluster, leftovers, maven, packages, projectimage, record, teardown, unstable
from localcluster.console import LocalClusterError, console, say
from localcluster.settings import REPOSITORY, Settings

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@app.command()
def up() -> None:
    """Start the cluster, or what is missing of it."""
    cluster.up(Settings.from_environment())


@app.command()
def down() -> None:
    """End the cluster and leave nothing behind."""
    cluster.require_machine()
    settings = Settings.from_environment()
    started = time.monotonic()
    with record.locked(settings.lock, "start or stop of the cluster"):
        teardown.down(settings)
    say(f"The cluster is gone ({time.monotonic() - started:.1f} s)")


@app.command()
def image() -> None:
    """Build the project's image and load it into the cluster."""
    cluster.require_machine()
    projectimage.show(projectimage.ensure(Settings.from_environment()))


@app.command()
def image_tag() -> None:
    """Print the tag that the image of this checkout has."""
    print(projectimage.content_tag(REPOSITORY))


@app.command()
def tools() -> None:
    """Put kubectl and helm into `.local/bin`, for a cluster that is not ours."""
    settings = Settings.from_environment()
    binaries.link(settings, binaries.clients(settings))


@app.command()
def test_packages() -> None:
    """Install what the tests need beside the cluster: database servers and a pooler."""
    packages.ensure(packages.TESTS)
    cache = Settings.from_environment().cache
    unstable.ensure_mysql(cache)
    maven.ensure_servers(cache)


@app.command(name="leftovers")
def show_leftovers() -> None:
    """List what belongs to the cluster on this machine: nothing after `down`."""
    for line in leftovers.describe(Settings.from_environment()):
        print(line)


def main() -> None:
    """Run a command; what the user can act on comes without a traceback."""
    try:
        app()
    except LocalClusterError as error:
        console.print("[bold red]error:[/bold red]", Text(str(error)))
        sys.exit(1)


if __name__ == "__main__":
    main()
