"""`python -m lockstep.controller`: the operator."""

import asyncio
import sys

from lockstep.controller.settings import InvalidSettingError, load


def main() -> int:
    """Run the operator; return the exit code."""
    try:
        settings = load()
    except InvalidSettingError as error:
        print(f"lockstep: {error}", file=sys.stderr)
        return 2
    # Late, so that a wrong setting is told at once.
    from lockstep.controller import app, log  # noqa: PLC0415 - as said

    log.configure(settings.log_level)

    async def run() -> int:
        return await app.App(settings).run()

    return asyncio.run(run())


if __name__ == "__main__":
    sys.exit(main())
