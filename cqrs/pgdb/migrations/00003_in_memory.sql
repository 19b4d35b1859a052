-- Whether the stream of a relay is in the memory of a node alone, and so may be gone when that has stopped.

-- +goose Up
ALTER TABLE edda_relays ADD COLUMN in_memory boolean NOT NULL DEFAULT false;

-- +goose Down
ALTER TABLE edda_relays DROP COLUMN in_memory;
