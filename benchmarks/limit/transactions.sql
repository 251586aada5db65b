-- One saga: a transaction that inserts it with its three steps, and one that records each step as done.
BEGIN;
INSERT INTO saga (id, definition, status, input, due_at, fence, steps_done)
VALUES (gen_random_uuid(), 'benchmarks.limit', 'running', '{}', now(), 1, 0)
RETURNING id \gset
INSERT INTO step (saga_id, name, status, attempts, idempotency_key)
VALUES (:id, 'step_0', 'pending', 0, gen_random_uuid()),
       (:id, 'step_1', 'pending', 0, gen_random_uuid()),
       (:id, 'step_2', 'pending', 0, gen_random_uuid());
COMMIT;
BEGIN;
UPDATE step SET status = 'completed', attempts = 1, result = '{"x": 1}', ended_at = now()
WHERE saga_id = :id AND name = 'step_0';
UPDATE saga SET steps_done = 1, due_at = now() WHERE id = :id;
COMMIT;
BEGIN;
UPDATE step SET status = 'completed', attempts = 1, result = '{"x": 1}', ended_at = now()
WHERE saga_id = :id AND name = 'step_1';
UPDATE saga SET steps_done = 2, due_at = now() WHERE id = :id;
COMMIT;
BEGIN;
UPDATE step SET status = 'completed', attempts = 1, result = '{"x": 1}', ended_at = now()
WHERE saga_id = :id AND name = 'step_2';
UPDATE saga SET steps_done = 3, status = 'completed', due_at = NULL, ended_at = now() WHERE id = :id;
COMMIT;
