package sqlitedb_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/edda-io/edda/cqrs/driver"
	"github.com/edda-io/edda/cqrs/sqlitedb"
)

func ExampleOpen() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	name, err := store(context.Background(), filepath.Join(dir, "users.db"))
	fmt.Println(name, err, os.RemoveAll(dir))
	// Output: Ann <nil> <nil>
}

// store stores a name and reads it.
func store(ctx context.Context, path string) (name string, err error) {
	db, err := sqlitedb.Open(path, sqlitedb.Options{})
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if _, err := db.SQL().ExecContext(ctx, "CREATE TABLE profiles (user_uuid TEXT PRIMARY KEY, name TEXT NOT NULL)"); err != nil {
		return "", err
	}
	err = db.Transact(ctx, driver.TxOptions{}, func(ctx context.Context, tx *driver.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO profiles (user_uuid, name) VALUES ($1, $2)", "42", "Ann")
		return err
	})
	if err != nil {
		return "", err
	}
	err = db.Reader().QueryRowContext(ctx, "SELECT name FROM profiles WHERE user_uuid = $1", "42").Scan(&name)
	return name, err
}
