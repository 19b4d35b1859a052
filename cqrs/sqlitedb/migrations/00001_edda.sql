-- The tables of package cqrs. Times are microseconds since 1970 in UTC; ids are UUIDs as text.

-- +goose Up
CREATE TABLE IF NOT EXISTS edda_commands (
    command_uuid TEXT PRIMARY KEY NOT NULL,
    run INTEGER NOT NULL,
    status TEXT NOT NULL, -- committed, aborted
    broadcaster TEXT NOT NULL,
    command_type TEXT NOT NULL,
    object TEXT NOT NULL,
    key TEXT NOT NULL,
    event_uuid TEXT,
    principal TEXT NOT NULL,
    reason TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS edda_aggregates (
    object TEXT NOT NULL,
    key TEXT NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (object, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS edda_events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    tx INTEGER NOT NULL DEFAULT 0,
    event_uuid TEXT NOT NULL UNIQUE,
    command_uuid TEXT NOT NULL,
    causation_uuid TEXT,
    causation_hierarchy_level INTEGER NOT NULL,
    correlation_uuid TEXT NOT NULL,
    correlation_type TEXT NOT NULL,
    correlation_pattern_raw TEXT NOT NULL,
    broadcaster TEXT NOT NULL,
    event_type TEXT NOT NULL,
    pattern_raw TEXT NOT NULL,
    object TEXT NOT NULL,
    key TEXT NOT NULL,
    primary_keys TEXT NOT NULL,
    data BLOB NOT NULL,
    metadata TEXT,
    version INTEGER NOT NULL,
    version_app TEXT NOT NULL,
    chain_before TEXT NOT NULL,
    chain_saga TEXT NOT NULL,
    chain_after TEXT NOT NULL,
    chain_events TEXT NOT NULL,
    explain TEXT,
    live_mode INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX IF NOT EXISTS edda_events_version ON edda_events (object, key, version);
CREATE INDEX IF NOT EXISTS edda_events_type ON edda_events (event_type, object);
CREATE INDEX IF NOT EXISTS edda_events_causation ON edda_events (causation_uuid, correlation_uuid);
CREATE INDEX IF NOT EXISTS edda_events_correlation ON edda_events (correlation_uuid);
CREATE INDEX IF NOT EXISTS edda_events_pattern ON edda_events (pattern_raw, correlation_type, correlation_pattern_raw);

CREATE TABLE IF NOT EXISTS edda_event_items (
    event_uuid TEXT NOT NULL,
    item INTEGER NOT NULL,
    object TEXT NOT NULL,
    key TEXT NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (event_uuid, item)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX IF NOT EXISTS edda_event_items_version ON edda_event_items (object, key, version);

CREATE TABLE IF NOT EXISTS edda_handlers (
    app TEXT NOT NULL,
    broadcaster TEXT NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    routes TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (app, broadcaster, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS edda_positions (
    handler TEXT PRIMARY KEY NOT NULL,
    tx INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    state TEXT NOT NULL, -- running, paused, rebuilding
    generation INTEGER NOT NULL,
    events INTEGER NOT NULL,
    error TEXT NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS edda_parked (
    handler TEXT NOT NULL,
    tx INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    event_uuid TEXT NOT NULL,
    object TEXT NOT NULL,
    key TEXT NOT NULL,
    state TEXT NOT NULL, -- waiting, dead
    attempts INTEGER NOT NULL,
    next_at INTEGER NOT NULL,
    error TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (handler, tx, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS edda_relays (
    name TEXT PRIMARY KEY NOT NULL,
    producer TEXT NOT NULL,
    tx INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    number INTEGER NOT NULL,
    stream_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE edda_relays;
DROP TABLE edda_parked;
DROP TABLE edda_positions;
DROP TABLE edda_handlers;
DROP TABLE edda_event_items;
DROP TABLE edda_events;
DROP TABLE edda_aggregates;
DROP TABLE edda_commands;
