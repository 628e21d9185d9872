"""The tables in PostgreSQL, as the steps in which they came to be, and the laws that the database itself keeps.

Two laws hold at every moment, whichever program changes an image: accepted = queued + processing + done + failed +
deleted, and places taken = slots + queued images. A trigger keeps both in the transaction of the change.

A step that was released is never changed; what is new is appended.
"""

from __future__ import annotations

from typing import Any, LiteralString

import psycopg

from imgpool.service.records import StoreError

_LOCK = 0x696D67706F6F6C  # "imgpool": the advisory lock under which the tables are made

# IP001 is an SQLSTATE of our own: an image without a slot, and no place left.
_FIRST: LiteralString = """
CREATE TABLE images (
    sequence bigint GENERATED ALWAYS AS IDENTITY (SEQUENCE NAME images_sequence) UNIQUE,
    id text COLLATE "C" PRIMARY KEY,
    name text NOT NULL,
    state text COLLATE "C" NOT NULL CHECK (state IN ('queued', 'processing', 'done', 'failed')),
    bytes bigint NOT NULL,
    format text NOT NULL,
    width integer,
    height integer,
    received_at double precision NOT NULL,
    started_at double precision,
    finished_at double precision,
    wait_s double precision,
    service_s double precision,
    attempts integer NOT NULL DEFAULT 0,
    error text,
    owner text,
    variants jsonb NOT NULL DEFAULT '[]',
    worker text,               -- who processes it, or did last
    lease_until timestamptz,   -- until when nobody else takes it to be lost
    sent_at timestamptz DEFAULT clock_timestamp(), -- when its ID last went to the workers; NULL: it has to
    sendings integer NOT NULL DEFAULT 1
);
CREATE INDEX images_by_state ON images (state, sequence);
CREATE INDEX images_by_end ON images (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX images_by_owner ON images (owner, sequence) WHERE owner IS NOT NULL;
CREATE INDEX images_by_owner_and_state ON images (owner, state, sequence) WHERE owner IS NOT NULL;

-- The counts are the sums over all shards. One row would be a queue: each change holds it until the disk has the
-- change. A transaction touches the one row of its own connection, so no two of them can wait for each other in a ring.
CREATE TABLE counts (
    shard integer PRIMARY KEY,
    accepted bigint NOT NULL DEFAULT 0,
    queued bigint NOT NULL DEFAULT 0,
    processing bigint NOT NULL DEFAULT 0,
    done bigint NOT NULL DEFAULT 0,
    failed bigint NOT NULL DEFAULT 0,
    deleted bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 20);
INSERT INTO counts (shard) SELECT generate_series(0, 63);

-- The bound on queued work of all hosts: taken = slots + queued images. `configured` is what the setting said when
-- `capacity` was last taken from it.
CREATE TABLE room (
    one boolean PRIMARY KEY DEFAULT TRUE CHECK (one),
    capacity integer NOT NULL DEFAULT 64,
    configured integer,
    taken integer NOT NULL DEFAULT 0 CHECK (taken >= 0),
    paused boolean NOT NULL DEFAULT FALSE
) WITH (fillfactor = 10);
INSERT INTO room DEFAULT VALUES;

CREATE TABLE slots (
    image_id text COLLATE "C" PRIMARY KEY,
    host text NOT NULL,
    expires_at timestamptz NOT NULL
);

CREATE TABLE members (
    name text PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('web', 'worker')),
    host text NOT NULL,
    pid integer NOT NULL,
    concurrency integer NOT NULL,
    since timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now()
);

-- Locks are always taken in this order: images, counts, slots of the image, room. Only a transaction that begins with
-- the room may touch slots after it, and it waits for none that others hold.
CREATE FUNCTION image_moved() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was text := OLD.state;
    becomes text := NEW.state;
BEGIN
    UPDATE counts SET
        accepted = accepted + (TG_OP = 'INSERT')::int,
        deleted = deleted + (TG_OP = 'DELETE')::int,
        queued = queued + (becomes IS NOT DISTINCT FROM 'queued')::int - (was IS NOT DISTINCT FROM 'queued')::int,
        processing = processing + (becomes IS NOT DISTINCT FROM 'processing')::int
            - (was IS NOT DISTINCT FROM 'processing')::int,
        done = done + (becomes IS NOT DISTINCT FROM 'done')::int - (was IS NOT DISTINCT FROM 'done')::int,
        failed = failed + (becomes IS NOT DISTINCT FROM 'failed')::int - (was IS NOT DISTINCT FROM 'failed')::int
    WHERE shard = pg_backend_pid() % 64;

    IF becomes = 'queued' THEN
        DELETE FROM slots WHERE image_id = NEW.id;  -- its place is now the image's
        IF NOT FOUND THEN
            -- What was given back by a worker has to go somewhere, even if its place was taken meanwhile.
            UPDATE room SET taken = taken + 1 WHERE taken < capacity OR was = 'processing';
            IF NOT FOUND THEN
                RAISE EXCEPTION 'image % holds no slot, and no place is left', NEW.id USING ERRCODE = 'IP001';
            END IF;
        END IF;
    ELSIF was = 'queued' THEN
        UPDATE room SET taken = taken - 1;
    END IF;

    -- Between queued and processing nothing was promised to anybody: should the database crash in the next moment, the
    -- image is queued again, or its lease expires. So do not hold the room's only row until the disk has it. What is
    -- promised (acceptance, an end) is on the disk with all that went before it.
    IF (was = 'queued' AND becomes = 'processing') OR (was = 'processing' AND becomes = 'queued') THEN
        PERFORM set_config('synchronous_commit', 'off', TRUE);
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER image_came_or_went AFTER INSERT OR DELETE ON images FOR EACH ROW EXECUTE FUNCTION image_moved();
CREATE TRIGGER image_moved AFTER UPDATE OF state ON images FOR EACH ROW
    WHEN (OLD.state <> NEW.state) EXECUTE FUNCTION image_moved();
"""

_SECOND: LiteralString = """
CREATE TABLE unfinished (
    id text COLLATE "C" PRIMARY KEY,
    length bigint NOT NULL,
    name text NOT NULL,
    owner text,
    note text NOT NULL,
    stored bigint NOT NULL DEFAULT 0 CHECK (stored >= 0 AND stored < length),
    pieces text[] NOT NULL DEFAULT '{}',  -- that hold the stored bytes, in their order
    turn bigint NOT NULL DEFAULT 0,       -- only the request that has this number may store more
    moved_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX unfinished_by_moved_at ON unfinished (moved_at);
"""

_THIRD: LiteralString = """
-- What one process at a time is to do for all, now and then: whose turn it is, is decided by when it was last taken.
CREATE TABLE turns (
    what text PRIMARY KEY,
    taken_at timestamptz NOT NULL DEFAULT '-infinity'
);
INSERT INTO turns (what) VALUES ('leases'), ('messages');

-- With which --queue-capacity each host was last started: a setting that is not new for its host is not taken again.
CREATE TABLE capacities (
    host text PRIMARY KEY,
    capacity integer NOT NULL
);
ALTER TABLE members ADD COLUMN queue_capacity integer; -- of web hosts: as started
"""

_FOURTH: LiteralString = """
-- When each was last started: where hosts have new names each time, as pods do, there would be more and more of them.
ALTER TABLE capacities ADD COLUMN started_at timestamptz NOT NULL DEFAULT clock_timestamp();
"""

STEPS: tuple[LiteralString, ...] = (_FIRST, _SECOND, _THIRD, _FOURTH)


def bring_up_to_date(connection: psycopg.Connection[tuple[Any, ...]]) -> None:
    """Make, or complete, the tables, in one transaction: a crash in between costs nothing.

    Blocks, also for another process that is doing it. Raises psycopg.Error, or `StoreError` for a database that a
    later imgpool wrote.
    """
    with connection.transaction():
        # Who waited for another has to see what it made, whatever the server is set to.
        connection.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
        # Whoever set limits for what imgpool does every second did not mean this, which may take minutes once.
        connection.execute("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0")
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        there = connection.execute("SELECT to_regclass('imgpool_schema') IS NOT NULL").fetchone()
        row = connection.execute("SELECT version FROM imgpool_schema").fetchone() if there == (True,) else None
        version = int(row[0]) if row else 0
        if not 0 <= version <= len(STEPS):
            raise StoreError(
                f"the database was written by another version of imgpool (schema {version}, this one knows up to "
                f"{len(STEPS)}): use that version, or another database"
            )
        for step in STEPS[version:]:
            connection.execute(step)
        if row is None:
            connection.execute("CREATE TABLE imgpool_schema (version integer NOT NULL)")
            connection.execute("INSERT INTO imgpool_schema VALUES (%s)", (len(STEPS),))
        elif version < len(STEPS):
            connection.execute("UPDATE imgpool_schema SET version = %s", (len(STEPS),))
