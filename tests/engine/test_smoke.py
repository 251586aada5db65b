import pytest
from datetime import timedelta
from rest_framework import serializers
from sagas import *
from sagas.definitions import registry
from sagas.testing import run_saga, advance

class In(serializers.Serializer):
    n = serializers.IntegerField()

calls = []
def a(ctx): calls.append("a"); return {"x": 1}
def undo_a(ctx): calls.append(("undo_a", ctx.result))
async def b(ctx):
    calls.append("b")
    if ctx.input["n"] == 1: raise PermanentFailure("no")
    if ctx.input["n"] == 2: raise RuntimeError("boom")
    return {"got": ctx.results["a"]["x"]}
def undo_b(ctx): calls.append(("undo_b", ctx.result))

class D(SagaDefinition):
    name = "t.d"; input = In; key = "k:{n}"
    steps = [Step(a, compensation=undo_a), Step(b, compensation=undo_b)]

@pytest.fixture(autouse=True)
def reg():
    registry.add(D); calls.clear(); yield; registry.remove(D)

@pytest.mark.django_db
@pytest.mark.parametrize("n,status", [(0,"completed"),(1,"compensated"),(2,"running")])
def test_it(n, status, django_assert_num_queries):
    s = run_saga(D, {"n": n})
    print(calls, s.error, list(s.history.values_list("kind","from_status","to_status")))
    assert s.status == status
    if n == 2:
        advance(timedelta(minutes=5)); s.refresh_from_db()
        print(calls)
        assert s.status == "compensated"
