from rest_framework.pagination import CursorPagination


class SagaPagination(CursorPagination):
    """Newest first. There is no total: counting a million rows is not worth a number."""

    ordering = ("-created_at", "-id")
    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 200
    # Sagas started together were created at one moment, and within it the cursor counts them.
    offset_cutoff = 1_000_000
