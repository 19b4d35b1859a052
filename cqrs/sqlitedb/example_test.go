package sqlitedb_test

import (
	"context"
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
	defer os.RemoveAll(dir)
	db, err := sqlitedb.Open(filepath.Join(dir, "users.db"), sqlitedb.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	ctx := context.Background()
	if _, err := db.SQL().ExecContext(ctx, "CREATE TABLE profiles (user_uuid TEXT PRIMARY KEY, name TEXT NOT NULL)"); err != nil {
		log.Print(err)
		return
	}
	err = db.Transact(ctx, driver.TxOptions{}, func(ctx context.Context, tx *driver.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO profiles (user_uuid, name) VALUES ($1, $2)", "42", "Ann")
		return err
	})
	if err != nil {
		log.Print(err)
		return
	}
	var name string
	if err := db.Reader().QueryRowContext(ctx, "SELECT name FROM profiles WHERE user_uuid = $1", "42").Scan(&name); err != nil {
		log.Print(err)
		return
	}
	fmt.Println(name)
	// Output: Ann
}
