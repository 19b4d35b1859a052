package driver

import (
	"strings"
	"testing"
)

func TestControl(t *testing.T) {
	for query, want := range map[string]string{
		"COMMIT": "COMMIT", "commit work": "COMMIT", " \n\tCommit;": "COMMIT", "COMMIT AND CHAIN": "COMMIT", "COMMIT PREPARED 'x'": "COMMIT",
		"END": "END", "BEGIN IMMEDIATE": "BEGIN", "ABORT": "ABORT", "start transaction": "START TRANSACTION",
		"PREPARE TRANSACTION 'x'": "PREPARE TRANSACTION", "PREPARE p AS SELECT 1": "",
		"ROLLBACK": "ROLLBACK", "ROLLBACK WORK;": "ROLLBACK", "ROLLBACK TO a": "", "rollback transaction to savepoint a": "",
		"ROLLBACK TO a; ROLLBACK": "ROLLBACK", "SAVEPOINT a": "", "RELEASE a": "",
		"-- x\n/* y /* z */ */ COMMIT": "COMMIT", "-- COMMIT": "", "/* ; */ SELECT 1 /* ; COMMIT */": "",
		"SELECT 1; COMMIT": "COMMIT", "SELECT 1;;COMMIT": "COMMIT", "SELECT 1;": "", "": "", ";": "", "(SELECT 1); COMMIT": "COMMIT",
		"SELECT ';COMMIT'": "", "SELECT 'it''s;COMMIT'": "", "SELECT 'a''';COMMIT": "COMMIT", `SELECT '\';COMMIT`: "COMMIT",
		`SELECT E'\';COMMIT'`: "", `SELECT e'\\';COMMIT`: "COMMIT", `SELECT E'a''\';COMMIT'`: "", `SELECT name'\';COMMIT`: "COMMIT",
		`SELECT ";COMMIT"`: "", `SELECT "a"";COMMIT"`: "",
		"DO $$ BEGIN RAISE; COMMIT; END $$": "", "SELECT $a$ ;COMMIT $$ ;COMMIT $a$; COMMIT": "COMMIT", "SELECT $1; COMMIT": "COMMIT",
		"SELECT a$b; COMMIT; $b": "COMMIT", "SELECT $é1$;COMMIT$é1$": "",
		"CREATE TRIGGER t AFTER INSERT ON x BEGIN UPDATE y SET a = 1; DELETE FROM z; END": "",
		"CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; END; COMMIT":              "COMMIT",
		"CREATE TABLE x (a int); COMMIT":                                                  "COMMIT",
		"SELECT commit FROM begin":                                                        "", "committed": "", "BEGINNING": "", "COMMIT_ALL": "", "COMMIT2": "",
		"SELECT 'unended; COMMIT": "", "SELECT /* unended; COMMIT": "", "SELECT $$ unended; COMMIT": "", `SELECT E'\`: "",
	} {
		if got := control(query); got != want {
			t.Errorf("%q: got %q, want %q", query, got, want)
		}
	}
}

// Whatever a statement is like, one behind it is found, unless a string or comment has no end; and it is
// no other one within a string.
func FuzzControl(f *testing.F) {
	for _, s := range []string{"SELECT 1", "SELECT 'a' || E'\\'' || $$x$$ || \"b\" -- c\n/* d */", "CREATE TRIGGER t BEGIN SELECT 1; END", "$a$", "'", "$"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if control(s) == "" && !strings.ContainsAny(s, `'"$-/`) && control(s+"; COMMIT") != "COMMIT" {
			t.Errorf("COMMIT after %q is not found", s)
		}
		if quoted := "SELECT '" + strings.ReplaceAll(s, "'", "''") + "'"; control(quoted) != "" {
			t.Errorf("%q ends a transaction", quoted)
		}
		if !strings.Contains(s, "$") && control("DO $x$"+s+"$x$") != "" {
			t.Errorf("the body %q ends a transaction", s)
		}
	})
}

func BenchmarkControl(b *testing.B) {
	for name, query := range map[string]string{
		"one":  "INSERT INTO profiles (user_uuid, email) VALUES ($1, $2) ON CONFLICT (user_uuid) DO UPDATE SET email = excluded.email",
		"some": "ROLLBACK TO SAVEPOINT edda_1; RELEASE SAVEPOINT edda_1",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				control(query)
			}
		})
	}
}
