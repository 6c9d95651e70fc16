"""The Prefect server's application as dubwright serves it: on SQLite, every transaction waits for its turn.

Prefect begins most of its transactions as readers (BEGIN DEFERRED). SQLite refuses a reader that goes on to write
after somebody else has written, at once and whatever the busy timeout: "database is locked". The client is sent a 503,
and an event that met it four times is put away, with the notification that hung on it. A transaction that begins as a
writer (BEGIN IMMEDIATE) waits instead. PostgreSQL knows no such thing and is left as it is.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from prefect.server.api.server import create_app as prefects_own
from prefect.server.database.configurations import AioSqliteConfiguration
from prefect.server.database.dependencies import MODELS_DEPENDENCIES
from prefect.server.utilities.database import get_dialect
from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL
from sqlalchemy.ext.asyncio import AsyncSession, AsyncSessionTransaction

if TYPE_CHECKING:
    from fastapi import FastAPI


class WaitingSqlite(AioSqliteConfiguration):
    """SQLite whose transactions take the right to write as they begin, or wait up to a minute for it."""

    @asynccontextmanager
    async def begin_transaction(
        self, session: AsyncSession, with_for_update: bool = True
    ) -> AsyncGenerator[AsyncSessionTransaction, None]:
        async with super().begin_transaction(session, with_for_update=True) as transaction:
            yield transaction


def create_app() -> FastAPI:
    """For ``uvicorn --factory``: Prefect's application, on the database that its settings name."""
    url = PREFECT_API_DATABASE_CONNECTION_URL.value()
    if get_dialect(url).name == "sqlite":
        MODELS_DEPENDENCIES["database_config"] = WaitingSqlite(connection_url=url)
    return prefects_own()
