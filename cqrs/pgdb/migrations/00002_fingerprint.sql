-- What tells commands with one id apart; NULL in rows from before, which are not compared.

-- +goose Up
ALTER TABLE edda_commands ADD COLUMN fingerprint bytea;

-- +goose Down
ALTER TABLE edda_commands DROP COLUMN fingerprint;
