package sqlitedb

import "testing"

func TestPositional(t *testing.T) {
	for in, want := range map[string]string{
		"SELECT 1":                             "SELECT 1",
		"SELECT $1":                            "SELECT ?",
		"INSERT INTO t VALUES ($1,$2),($3,$4)": "INSERT INTO t VALUES (?,?),(?,?)",
		"SELECT $2, $1":                        "SELECT $2, $1",
		"SELECT $1, $1":                        "SELECT $1, $1",
		"SELECT $1, ?":                         "SELECT $1, ?",
		"SELECT $1, :a":                        "SELECT $1, :a",
		"SELECT $a":                            "SELECT $a",
		"SELECT $01":                           "SELECT $01",
		"SELECT '$9', \"$8\", `$7`, [$6], $1":  "SELECT '$9', \"$8\", `$7`, [$6], ?",
		"SELECT 'it''s $2' || $1":              "SELECT 'it''s $2' || ?",
		"SELECT $1 -- $3\n, $2 /* $9 */":       "SELECT ? -- $3\n, ? /* $9 */",
		"SELECT a$1, $1":                       "SELECT a$1, ?",
		"SELECT '":                             "SELECT '",
		"SELECT $1 WHERE a = '":                "SELECT ? WHERE a = '",
	} {
		if got := positional(in); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", in, got, want)
		}
	}
}
