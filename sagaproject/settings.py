"""Settings, from the environment.

With nothing set this is a development server on one machine, kept in SQLite. With ``DEBUG=0`` it is a
deployment, and then it has to be told its SECRET_KEY, ALLOWED_HOSTS and DATABASE_URL.
"""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import environ
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from sagaproject.secret_key import development_key

BASE_DIR = Path(__file__).resolve().parent.parent

env: Final = environ.Env()

DEBUG = env.bool("DEBUG", default=True)


def _given_if_deployed(name: str, why: str) -> str | None:
    # Not through `env`, which takes a value that begins with "$" for the name of another variable, and one in
    # fifty keys of Django's own generator begins so.
    value = os.environ.get(name)
    if not value and not DEBUG:
        raise ImproperlyConfigured(f"DEBUG is off and {name} is not set. {why}")
    return value or None


SECRET_KEY = _given_if_deployed(
    "SECRET_KEY",
    "Web processes and workers have to sign with one key, for a worker deletes every message that was signed "
    "with another. Set SECRET_KEY to the same long random string for all of them.",
) or development_key(BASE_DIR / ".secret_key")
# Keys that were used before, for what people still hold, as sessions. Messages are not read by them.
SECRET_KEY_FALLBACKS = list(filter(None, os.environ.get("SECRET_KEY_FALLBACKS", "").split(",")))

_hosts = _given_if_deployed(
    "ALLOWED_HOSTS",
    "The site answers only requests for a name it knows, so that nobody can make it write links to theirs. "
    "Set ALLOWED_HOSTS to its names, with commas between them.",
)
ALLOWED_HOSTS = _hosts.split(",") if _hosts else ["localhost", "127.0.0.1", "[::1]"]
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = not DEBUG
SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", default=not DEBUG)
SECURE_HSTS_SECONDS = env.int("SECURE_HSTS_SECONDS", default=0 if DEBUG else 3600)
if env.bool("BEHIND_TLS_PROXY", default=False):
    # Only behind a proxy that sets this header itself: anyone can send it to a server that has none.
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")


# Applications

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "rest_framework.authtoken",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_q",
    "sagas",
    "orders",
    "sagaproject.apps.SagaProjectConfig",  # Last: it takes out of the admin what others put there.
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
]

# Nothing of a page may be made of what was stored: no script and no style but our files.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],
        "base-uri": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "object-src": [NONE],
    }
}

ROOT_URLCONF = "sagaproject.urls"
ASGI_APPLICATION = "sagaproject.asgi.application"
WSGI_APPLICATION = "sagaproject.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

AUTHENTICATION_BACKENDS = ["sagaproject.backends.ModelBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "admin:login"

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True

REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    # Tokens first: who sends no credentials is answered by the first, and a session's answer is 403, not 401.
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "rest_framework.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}

SPECTACULAR_SETTINGS = {
    "TITLE": "Sagas",
    "DESCRIPTION": "Start sagas, follow them, operate them; and the orders of the demonstration.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],  # It tells of endpoints, not of data.
    # From this server: the pages work where there is no other.
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "ENUM_NAME_OVERRIDES": {
        "SagaKindEnum": "sagas.states.SagaKind",
        "OutboxStatusEnum": "sagas.models.OutboxStatus",
        "InboxStatusEnum": "sagas.models.InboxStatus",
        "SagaStatusEnum": "sagas.states.SagaStatus",
        "StepStatusEnum": "sagas.states.StepStatus",
        "StepKindEnum": "sagas.states.StepKind",
        "HistoryKindEnum": "sagas.models.HistoryKind",
        "BatchStatusEnum": "sagas.models.BatchStatus",
        "AttentionEnum": "sagas.states.Attention",
        "OrderStatusEnum": "orders.models.OrderStatus",
    },
}


# Database

SQLITE: Final[dict[str, Any]] = {
    "CONN_MAX_AGE": None,
    "OPTIONS": {
        # A transaction takes the write lock when it begins, and waits for it: one that asks only at its first
        # write is refused at once if another has written since.
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
    },
}

POSTGRESQL: Final[dict[str, Any]] = {
    # Never 0: django-q2 then opens a connection for every word with its broker. And never psycopg's pool: the
    # cluster forks, and its processes would read each other's answers.
    "CONN_MAX_AGE": 600,
    "CONN_HEALTH_CHECKS": True,
    "OPTIONS": {
        "connect_timeout": 10,
        # Nothing waits for ever, and the last one ends a statement whose client has died, with its locks.
        # An address with `options=` of its own replaces these, for instance for a long migration.
        "options": (
            "-c lock_timeout=10s -c statement_timeout=30s -c idle_in_transaction_session_timeout=20s "
            "-c client_connection_check_interval=5s"
        ),
    },
}
if env.bool("PREPARE_STATEMENTS", default=not DEBUG):  # Django's log of statements does not tell those.
    # To plan the same few statements over and over is a good part of what they cost. Not through a pooler
    # that gives each transaction another connection.
    POSTGRESQL["OPTIONS"]["prepare_threshold"] = 5
    # Of Django's own statements those can be prepared whose values are sent apart.
    POSTGRESQL["OPTIONS"]["server_side_binding"] = True


def _database(url: str | None) -> dict[str, Any]:
    if url is None:
        return SQLITE | _sqlite_file(BASE_DIR / "db.sqlite3")
    defaults = {
        "django.db.backends.sqlite3": SQLITE,
        "django.db.backends.postgresql": POSTGRESQL,
    }.get(environ.Env.DB_SCHEMES.get(url.partition("://")[0], ""))
    if defaults is None:
        raise ImproperlyConfigured(
            "DATABASE_URL begins with neither postgres:// nor sqlite://, and sagas are kept only in "
            "PostgreSQL or SQLite, where their locks and constraints are known to hold. Set it to "
            "postgres://user:password@host:5432/name or to sqlite:///path."
        )
    try:
        given: dict[str, Any] = environ.Env.db_url_config(url)
    except ValueError:  # Whose text, and so whose traceback, may hold a part of the password.
        raise ImproperlyConfigured(
            "DATABASE_URL cannot be taken apart. Its form is postgres://user:password@host:5432/name, with "
            "%40 for an @ in the password, %2F for a / and so on."
        ) from None
    options = given.pop("OPTIONS", {})
    if "host" in options:  # So the folder of a Unix socket is written in an address: `?host=/folder`.
        given["HOST"] = options.pop("host")
    if defaults is SQLITE and given["NAME"] != ":memory:":
        given |= _sqlite_file(Path(given["NAME"]))
    return defaults | given | {"OPTIONS": defaults["OPTIONS"] | options}


def _sqlite_file(path: Path) -> dict[str, Any]:
    # Tests too have a file, since their workers are processes of their own and cannot see another's memory.
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": path,
        "TEST": {"NAME": path.with_name(f"test.{path.name}")},
    }


DATABASES = {
    "default": _database(
        _given_if_deployed(
            "DATABASE_URL",
            "Sagas would be kept in a SQLite file of this host, which no other host can work on. Set "
            "DATABASE_URL=postgres://user:password@host:5432/name.",
        )
    )
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"


# Queue and sagas

_workers = env.str("Q_WORKERS", default="2")
if not _workers.isdecimal() or _workers == "0":
    raise ImproperlyConfigured(
        f"Q_WORKERS is {_workers!r}, and without a worker no saga ever moves. Set it to 1 or more."
    )
Q_WORKERS = int(_workers)

Q_CLUSTER = {
    "name": "sagas",  # Also the salt of every message's signature: a new name orphans what is queued.
    "orm": "default",  # The sagas' own alias: for any other, django-q2 closes the connection of its caller.
    "workers": Q_WORKERS,
    "queue_limit": Q_WORKERS,  # Few: the `retry` of what waits in memory is already running.
    "bulk": 1,
    "poll": 0.1 if DATABASES["default"]["ENGINE"].endswith("sqlite3") else 0.05,
    # Divides timeout + 3 exactly, or the guard steps over the moment at which it would end a hung worker.
    "guard_cycle": 0.5,
    "timeout": 120,
    # More than timeout * (1 + ceil((queue_limit + bulk) / workers)), or a message is delivered a second time
    # while the first still waits or works.
    "retry": 600,
    # A wake-up that failed is not repeated: every due saga is found again by its row.
    "ack_failures": True,
    "max_attempts": 3,
    "save_limit": -1,
    "recycle": 5000,
    "catch_up": False,
    "log_level": "WARNING",
    "ALT_CLUSTERS": {},  # Without it, Q_CLUSTER_NAME in the environment is a KeyError in every command.
}
if env.bool("Q_NOTIFY", default=DATABASES["default"]["ENGINE"].endswith("postgresql")):
    # Woken by PostgreSQL; `poll` counts while that cannot be heard, as through a pooler in transaction mode.
    Q_CLUSTER["broker_class"] = "sagas.queue.broker.NotifyBroker"

SAGAS = {
    "QUEUE": "sagas",
    "RUNNERS": Q_WORKERS,  # The queue is for wake-ups alone, so each of its workers may be a runner.
    "LEASE": timedelta(seconds=env.float("SAGAS_LEASE", default=30)),
}


if "broker_class" in Q_CLUSTER:
    SAGAS["ALLOWED_TASKS"] = ()  # The queue is for wake-ups alone: nothing else that is put into it runs.


# Logging

_log_level = env.str("LOG_LEVEL", default="INFO")

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"saga_id": {"()": "sagas.telemetry.SagaIdFilter"}},
    "formatters": {
        "line": {
            "()": "sagas.telemetry.OneLineFormatter",
            "format": "%(asctime)s %(levelname)s %(name)s [saga %(saga_id)s] %(message)s",
        },
    },
    "handlers": {
        # The filter hangs on the handler, so that lines of other packages carry the attribute too.
        "console": {
            "class": "logging.StreamHandler",
            "formatter": "line",
            "filters": ["saga_id"],
            "level": _log_level,
        },
    },
    "root": {"handlers": ["console"], "level": _log_level},
    "loggers": {
        # Named here, they lose the handlers that Django gives them, which would write each line once more.
        "django": {"level": "INFO"},
        "django.server": {"level": "INFO", "propagate": True},
        # django-q2 sets its `log_level` only where the root logger has no handler.
        "django-q": {"level": Q_CLUSTER["log_level"]},
    },
}
