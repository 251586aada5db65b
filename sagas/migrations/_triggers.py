"""What only the database can do: a terminal saga stays so, history is not rewritten, and rows keep their place.

A saga is updated five times in its life and a step twice at least: half-full pages have room for the new
versions, which then need no new entries in the indexes, and are cleared away without a vacuum.
"""

from __future__ import annotations

from typing import Any

FINAL = """OLD.status IN ('compensated', 'abandoned') AND NEW.status <> OLD.status
        AND NOT (OLD.status = 'compensated' AND OLD.attention = 'late_effect' AND NEW.status = 'compensating')
    OR OLD.status = 'completed' AND NEW.status NOT IN ('completed', 'compensating')"""

POSTGRESQL_UP = f"""
ALTER TABLE sagas_saga SET (fillfactor = 50);
ALTER TABLE sagas_sagastep SET (fillfactor = 50);
CREATE FUNCTION sagas_refuse_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'saga % is % and stays so', OLD.id, OLD.status USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER sagas_saga_final BEFORE UPDATE OF status ON sagas_saga
    FOR EACH ROW WHEN ({FINAL}) EXECUTE FUNCTION sagas_refuse_final();
CREATE FUNCTION sagas_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND current_setting('sagas.retention', true) = 'on' THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'history is append-only: entry % cannot be changed or deleted', OLD.id
        USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER sagas_history_append_only BEFORE UPDATE OR DELETE ON sagas_historyentry
    FOR EACH ROW EXECUTE FUNCTION sagas_append_only();
CREATE TRIGGER sagas_letters_append_only BEFORE UPDATE OR DELETE ON sagas_deadletteract
    FOR EACH ROW EXECUTE FUNCTION sagas_append_only();
CREATE TRIGGER sagas_pruning_append_only BEFORE UPDATE OR DELETE ON sagas_pruning
    FOR EACH ROW EXECUTE FUNCTION sagas_append_only();
"""

POSTGRESQL_DOWN = """
DROP TRIGGER sagas_pruning_append_only ON sagas_pruning;
DROP TRIGGER sagas_letters_append_only ON sagas_deadletteract;
DROP TRIGGER sagas_history_append_only ON sagas_historyentry;
DROP FUNCTION sagas_append_only();
DROP TRIGGER sagas_saga_final ON sagas_saga;
DROP FUNCTION sagas_refuse_final();
ALTER TABLE sagas_sagastep RESET (fillfactor);
ALTER TABLE sagas_saga RESET (fillfactor);
"""

SQLITE_UP = f"""
CREATE TRIGGER sagas_saga_final BEFORE UPDATE OF status ON sagas_saga
    FOR EACH ROW WHEN {FINAL}
    BEGIN SELECT RAISE(ABORT, 'this saga has ended and stays so'); END;
"""

SQLITE_DOWN = "DROP TRIGGER sagas_saga_final;"


def create(apps: Any, schema_editor: Any) -> None:
    """Create the triggers the database in use can have."""
    _run(schema_editor, {"postgresql": POSTGRESQL_UP, "sqlite": SQLITE_UP})


def drop(apps: Any, schema_editor: Any) -> None:
    """Drop them."""
    _run(schema_editor, {"postgresql": POSTGRESQL_DOWN, "sqlite": SQLITE_DOWN})


def _run(schema_editor: Any, statements: dict[str, str]) -> None:
    if statement := statements.get(schema_editor.connection.vendor):
        schema_editor.execute(statement, params=None)
