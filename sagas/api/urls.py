from rest_framework.routers import SimpleRouter

from sagas.api.viewsets import SagaViewSet

router = SimpleRouter()
router.register("sagas", SagaViewSet, basename="saga")

urlpatterns = router.urls
