from contextlib import suppress

from django.urls import URLPattern, path, re_path
from rest_framework.routers import SimpleRouter

from sagas.api import pages
from sagas.api.addresses import NotHere
from sagas.api.batches import BatchViewSet
from sagas.api.callbacks import Callbacks
from sagas.api.definitions import Definitions
from sagas.api.figures import Health, Stats
from sagas.api.holds import HoldViewSet
from sagas.api.letters import ActedOn, DeliveryViewSet, LetterViewSet, OutboxViewSet
from sagas.api.publishing import Events
from sagas.api.streaming import SagaStream
from sagas.api.viewsets import SagaViewSet

router = SimpleRouter()
router.register("sagas", SagaViewSet, basename="saga")
router.register("batches", BatchViewSet, basename="saga-batch")


def _acted_on(under: str, views: type[ActedOn], *acts: str, names: tuple[str, str]) -> list[URLPattern]:
    """Return the addresses of a list, of one in it, and of what may be done about that."""
    many, one = names
    return [
        path(f"{under}/", views.as_view({"get": "list"}), name=many),
        path(f"{under}/<str:pk>/", views.as_view({"get": "retrieve"}, detail=True), name=one),
        *(
            path(f"{under}/<str:pk>/{act}/", views.as_view({"post": act}, detail=True), name=f"{one}-{act}")
            for act in acts
        ),
    ]


urlpatterns = [
    path("saga-definitions/", Definitions.as_view(), name="saga-definitions"),
    path("sagas/<str:pk>/stream/", SagaStream.as_view(), name="saga-stream"),
    *router.urls,
    path("holds/", HoldViewSet.as_view({"get": "list", "post": "create"}), name="saga-holds"),
    path("holds/<str:pk>/", HoldViewSet.as_view({"delete": "destroy"}), name="saga-hold"),
    path("callbacks/<str:token>/", Callbacks.as_view(), name="saga-callback"),
    path("events/", Events.as_view(), name="saga-events"),
    path("outbox/", OutboxViewSet.as_view({"get": "list"}), name="saga-outbox"),
    *_acted_on("deliveries", DeliveryViewSet, "hold", "release", names=("saga-deliveries", "saga-delivery")),
    *_acted_on("dead-letters", LetterViewSet, "requeue", "resolve", names=("saga-letters", "saga-letter")),
    path("stats/", Stats.as_view(), name="saga-stats"),
    path("health/", Health.as_view(), name="saga-health"),
    path("problems/", pages.Problems.as_view(), name="saga-problems"),
    path("problems/<slug:slug>/", pages.Problem.as_view(), name="saga-problem"),
    # Whatever is below the same prefix has to be included before.
    re_path("", NotHere.as_view(), name="saga-not-here"),
]

with suppress(ImportError):  # drf-spectacular is for projects that publish an OpenAPI schema.
    from sagas.api import openapi  # noqa: F401  (registers on import)
