from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from sagas.definitions.pictures import dot, mermaid
from sagas.management.commandline import registered

LANGUAGES = {"mermaid": mermaid, "dot": dot}


class Command(BaseCommand):
    help = "Draw a definition as text for Mermaid or Graphviz: the way forward, and dotted the way back."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("definition", type=registered, help="The name of a registered definition.")
        parser.add_argument(
            "--format", choices=LANGUAGES, default="mermaid", dest="language", help="The picture's language."
        )

    def handle(self, *, definition: Any, language: str, **options: Any) -> None:
        self.stdout.write(LANGUAGES[language](definition))
