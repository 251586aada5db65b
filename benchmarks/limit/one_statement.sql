-- The same work as transactions.sql with one statement for each transaction, which spares the trips between client and
-- server: what nobody writes, to know how much of the limit the trips are.
WITH new AS (
    INSERT INTO saga (id, definition, status, input, due_at, fence, steps_done)
    VALUES (gen_random_uuid(), 'benchmarks.limit', 'running', '{}', now(), 1, 0)
    RETURNING id
), steps AS (
    INSERT INTO step (saga_id, name, status, attempts, idempotency_key)
    SELECT id, name, 'pending', 0, gen_random_uuid() FROM new, unnest('{step_0,step_1,step_2}'::text[]) AS name
)
SELECT id FROM new \gset
WITH done AS (
    UPDATE step SET status = 'completed', attempts = 1, result = '{"x": 1}', ended_at = now()
    WHERE saga_id = :id AND name = 'step_0'
)
UPDATE saga SET steps_done = 1, due_at = now() WHERE id = :id;
WITH done AS (
    UPDATE step SET status = 'completed', attempts = 1, result = '{"x": 1}', ended_at = now()
    WHERE saga_id = :id AND name = 'step_1'
)
UPDATE saga SET steps_done = 2, due_at = now() WHERE id = :id;
WITH done AS (
    UPDATE step SET status = 'completed', attempts = 1, result = '{"x": 1}', ended_at = now()
    WHERE saga_id = :id AND name = 'step_2'
)
UPDATE saga SET steps_done = 3, status = 'completed', due_at = NULL, ended_at = now() WHERE id = :id;
