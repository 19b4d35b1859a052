-- The tables of package cqrs. Times are microseconds since 1970 in UTC; ids are UUIDs.

-- +goose Up
CREATE TABLE IF NOT EXISTS edda_commands (
    command_uuid uuid PRIMARY KEY,
    run bigint NOT NULL,
    status text NOT NULL, -- committed, aborted
    broadcaster text NOT NULL,
    command_type text NOT NULL,
    object text NOT NULL,
    key text NOT NULL,
    event_uuid uuid,
    principal text NOT NULL,
    reason text NOT NULL,
    created_at bigint NOT NULL
);

CREATE TABLE IF NOT EXISTS edda_aggregates (
    object text NOT NULL,
    key text NOT NULL,
    version bigint NOT NULL,
    PRIMARY KEY (object, key)
) WITH (fillfactor = 70); -- room to change a version where it is, without its index

CREATE TABLE IF NOT EXISTS edda_events (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tx bigint NOT NULL DEFAULT pg_current_xact_id()::text::bigint,
    event_uuid uuid NOT NULL UNIQUE,
    command_uuid uuid NOT NULL,
    causation_uuid uuid,
    causation_hierarchy_level bigint NOT NULL,
    correlation_uuid text NOT NULL,
    correlation_type text NOT NULL,
    correlation_pattern_raw text NOT NULL,
    broadcaster text NOT NULL,
    event_type text NOT NULL,
    pattern_raw text NOT NULL,
    object text NOT NULL,
    key text NOT NULL,
    primary_keys jsonb NOT NULL,
    data bytea NOT NULL,
    metadata json, -- as it was written: jsonb takes no \u0000, and writes numbers anew
    version bigint NOT NULL,
    version_app text NOT NULL,
    chain_before jsonb NOT NULL,
    chain_saga jsonb NOT NULL,
    chain_after jsonb NOT NULL,
    chain_events jsonb NOT NULL,
    explain jsonb,
    live_mode boolean NOT NULL,
    created_at bigint NOT NULL
);

CREATE UNIQUE INDEX IF NOT EXISTS edda_events_version ON edda_events (object, key, version);
CREATE UNIQUE INDEX IF NOT EXISTS edda_events_order ON edda_events (tx, seq);
CREATE INDEX IF NOT EXISTS edda_events_type ON edda_events (event_type, object);
CREATE INDEX IF NOT EXISTS edda_events_causation ON edda_events (causation_uuid, correlation_uuid);
CREATE INDEX IF NOT EXISTS edda_events_correlation ON edda_events (correlation_uuid);
CREATE INDEX IF NOT EXISTS edda_events_pattern ON edda_events (pattern_raw, correlation_type, correlation_pattern_raw);
CREATE INDEX IF NOT EXISTS edda_events_primary_keys ON edda_events USING gin (primary_keys);
CREATE INDEX IF NOT EXISTS edda_events_explain ON edda_events USING gin (explain);

CREATE TABLE IF NOT EXISTS edda_event_items (
    event_uuid uuid NOT NULL,
    item bigint NOT NULL,
    object text NOT NULL,
    key text NOT NULL,
    version bigint NOT NULL,
    PRIMARY KEY (event_uuid, item)
);

CREATE UNIQUE INDEX IF NOT EXISTS edda_event_items_version ON edda_event_items (object, key, version);

CREATE TABLE IF NOT EXISTS edda_handlers (
    app text NOT NULL,
    broadcaster text NOT NULL,
    name text NOT NULL,
    kind text NOT NULL,
    routes jsonb NOT NULL,
    updated_at bigint NOT NULL,
    PRIMARY KEY (app, broadcaster, name)
);

CREATE TABLE IF NOT EXISTS edda_positions (
    handler text PRIMARY KEY,
    tx bigint NOT NULL,
    seq bigint NOT NULL,
    state text NOT NULL, -- running, paused, rebuilding
    generation bigint NOT NULL,
    events bigint NOT NULL,
    error text NOT NULL,
    updated_at bigint NOT NULL
);

CREATE TABLE IF NOT EXISTS edda_parked (
    handler text NOT NULL,
    tx bigint NOT NULL,
    seq bigint NOT NULL,
    event_uuid uuid NOT NULL,
    object text NOT NULL,
    key text NOT NULL,
    state text NOT NULL, -- waiting, dead
    attempts bigint NOT NULL,
    next_at bigint NOT NULL,
    error text NOT NULL,
    updated_at bigint NOT NULL,
    PRIMARY KEY (handler, tx, seq)
);

CREATE TABLE IF NOT EXISTS edda_relays (
    name text PRIMARY KEY,
    producer uuid NOT NULL,
    tx bigint NOT NULL,
    seq bigint NOT NULL,
    number bigint NOT NULL,
    stream_at bigint NOT NULL,
    updated_at bigint NOT NULL
);

-- +goose Down
DROP TABLE edda_relays;
DROP TABLE edda_parked;
DROP TABLE edda_positions;
DROP TABLE edda_handlers;
DROP TABLE edda_event_items;
DROP TABLE edda_events;
DROP TABLE edda_aggregates;
DROP TABLE edda_commands;
