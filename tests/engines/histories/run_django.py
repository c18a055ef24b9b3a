"""Makes and runs migrations of an app with Django: run_django.py DATABASE_AS_JSON FOLDER COMMAND_AS_JSON ...

A command is a list for django-admin. The settings of Django belong to a whole process: hence one of its own.
"""

import json
import sys

import django
from django.conf import settings
from django.core.management import call_command


def main(database: str, folder: str, *commands: str) -> None:
    """Configure Django for one database and run the commands."""
    sys.path.insert(0, folder)
    apps = ["django.contrib.contenttypes", "shop"]
    settings.configure(
        DATABASES={"default": json.loads(database)},
        INSTALLED_APPS=apps,
        USE_TZ=True,
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    )
    django.setup()
    for command in commands:
        name, *words = json.loads(command)
        call_command(name, *words, verbosity=0)


if __name__ == "__main__":
    main(*sys.argv[1:])
