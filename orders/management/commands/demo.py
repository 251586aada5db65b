from __future__ import annotations

import json
import signal
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from orders.demo import shop, web
from orders.demo.run import Account, carry_out
from orders.demo.stage import EndedByItself, Stage
from orders.demo.workload import demand, plan_orders
from orders.services import Pattern
from orders.trouble import Trouble

WELCOME = """
The shop is open. Sign in as {user} with the password {password}.

  Sagas    http://{host}:{port}/admin/sagas/saga/
  Orders   http://{host}:{port}/admin/orders/order/
  API      http://{host}:{port}/api/v1/orders/

Place an order whose card will be declined:

  curl http://{host}:{port}/api/v1/orders/ \\
    -H 'Authorization: Token {token}' -H 'Content-Type: application/json' -d '{order}'

Ctrl-C ends it.
"""

ORDER = {
    "email": "you@example.com",
    "lines": [{"sku": "teapot", "quantity": 1}],
    "trouble": Trouble.CARD_DECLINED,
}


class Command(BaseCommand):
    help = (
        "Run the shop with workers and a web server of its own until Ctrl-C. Or, with --orders and --exit, "
        "place orders of which a third go wrong, wait until each has ended, and say whether all books "
        "balance. May be run again on the same database. Refused with DEBUG=0."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=8000, help="Serve here (default: %(default)s).")
        parser.add_argument("--orders", type=int, default=0, metavar="N", help="Place so many orders.")
        parser.add_argument(
            "--seed",
            type=int,
            default=1,
            help="Draws what goes wrong with which order (default: %(default)s).",
        )
        parser.add_argument(
            "--pattern",
            type=Pattern,
            choices=list(Pattern),
            default=Pattern.ORCHESTRATION,
            help="Who leads the orders to their end: a saga, or events from one service to the next "
            "(default: %(default)s).",
        )
        parser.add_argument(
            "--exit",
            action="store_true",
            dest="leave",
            help="No web server: end when the orders have, with 0 if each came to its end and all balances.",
        )
        parser.add_argument(
            "--json",
            action="store_true",
            dest="as_json",
            help="With --exit: give the account as a JSON object, alone on standard output.",
        )

    def handle(
        self,
        *,
        port: int,
        orders: int,
        seed: int,
        pattern: Pattern,
        leave: bool,
        as_json: bool,
        **options: Any,
    ) -> None:
        _refuse_what_cannot_be(port, orders, leave, as_json)
        signal.signal(signal.SIGTERM, _leave)
        call_command("migrate", interactive=False, verbosity=0)
        shop.open_shop()
        shop.operator()
        try:
            with Stage() as stage:
                stage.start_workers()
                if leave:
                    self._finish(self._run(stage, orders, seed, pattern), as_json)
                else:
                    self._show(stage, port, orders, seed, pattern)
        except (EndedByItself, TimeoutError) as error:
            raise CommandError(str(error)) from error

    def _show(self, stage: Stage, port: int, orders: int, seed: int, pattern: Pattern) -> None:
        try:
            stage.start_web_server(port)
            self.stdout.write(
                WELCOME.format(
                    user=shop.OPERATOR,
                    password=shop.PASSWORD,
                    token=shop.api_token(),
                    order=json.dumps(ORDER),
                    host=web.HOST,
                    port=port,
                )
            )
            if orders:
                self.stdout.write(str(self._run(stage, orders, seed, pattern)))
            stage.stay()
        except KeyboardInterrupt:
            self.stdout.write("\nClosing the shop.")

    def _run(self, stage: Stage, orders: int, seed: int, pattern: Pattern) -> Account:
        plan = plan_orders(orders, seed)
        shop.restock_for(demand(plan))
        account, wrong = carry_out(plan, by=shop.operator(), look_up=stage.look_up, pattern=pattern)
        for sentence in wrong:
            self.stderr.write(sentence)
        return account

    def _finish(self, account: Account, as_json: bool) -> None:
        self.stdout.write(json.dumps(asdict(account)) if as_json else str(account))
        if not account.is_well:
            raise CommandError(f"Not all is well: {account}")


def _refuse_what_cannot_be(port: int, orders: int, leave: bool, as_json: bool) -> None:
    if not settings.DEBUG:
        raise CommandError(
            "The demo makes an operator whose password everybody knows, so it is refused with DEBUG=0. Run "
            "it with DEBUG=1, on a database that holds nothing of value."
        )
    if orders < 0 or (leave and not orders):
        raise CommandError(f"--orders is {orders}, and --exit waits for orders. Set it to 1 or more.")
    if as_json and not leave:
        raise CommandError("--json gives the account of a run that ends. Add --exit.")
    if not leave and not web.is_free(port):
        raise CommandError(f"Port {port} is taken. Choose another with --port.")


def _leave(signum: int, frame: Any) -> None:
    # As an exception, so that every process is ended on the way out.
    raise SystemExit(128 + signum)
