"""The thread that does a runner's books."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from sagas.engine.books import Books


@pytest.fixture
def with_books() -> Iterator[Callable[..., Any]]:
    """Run a coroutine function that is given books, and see the thread end."""

    def run(work: Callable[[Books], Any]) -> Any:
        async def main() -> Any:
            books = Books(asyncio.get_running_loop())
            try:
                return await work(books)
            finally:
                books.close()

        return asyncio.run(main())

    before = set(threading.enumerate())
    yield run
    assert set(threading.enumerate()) <= before


def test_what_work_comes_to_is_awaited(with_books):
    async def work(books: Books) -> tuple[str, str]:
        return await books.do(lambda: threading.current_thread().name), threading.current_thread().name

    done_in, awaited_in = with_books(work)
    assert done_in == "saga-books" != awaited_in


def test_what_it_raises_is_raised_and_the_next_work_is_done(with_books):
    async def work(books: Books) -> int:
        with pytest.raises(ZeroDivisionError):
            await books.do(lambda: 1 // 0)
        with pytest.raises(SystemExit):
            await books.do(lambda: sys.exit(3))
        return await books.do(lambda: 7)

    assert with_books(work) == 7


def test_one_at_a_time_in_the_order_given(with_books):
    done: list[int] = []

    async def work(books: Books) -> None:
        go_on = threading.Event()
        books.do(go_on.wait)
        jobs = [books.do(partial(done.append, number)) for number in range(20)]
        await asyncio.sleep(0.02)
        assert done == []
        go_on.set()
        await asyncio.gather(*jobs)

    with_books(work)
    assert done == list(range(20))


def test_work_that_nobody_waits_for_any_more_is_not_begun(with_books):
    done: list[int] = []

    async def work(books: Books) -> None:
        go_on = threading.Event()
        begun, waiting = books.do(go_on.wait), books.do(lambda: done.append(1))
        await asyncio.sleep(0.02)
        begun.cancel()
        waiting.cancel()
        go_on.set()
        await books.do(lambda: done.append(2))

    with_books(work)
    assert done == [2]
