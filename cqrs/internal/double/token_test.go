package double

import "testing"

func TestRenameTables(t *testing.T) {
	names := map[string]string{"profiles": "profiles__2", "my table": "my table__2"}
	for in, want := range map[string]string{
		"CREATE TABLE profiles (id TEXT)":                                        `CREATE TABLE "profiles__2" (id TEXT)`,
		"CREATE TABLE IF NOT EXISTS Profiles(id TEXT) STRICT, WITHOUT ROWID":     `CREATE TABLE IF NOT EXISTS "profiles__2"(id TEXT) STRICT, WITHOUT ROWID`,
		`CREATE TABLE "my table" (a)`:                                            `CREATE TABLE "my table__2" (a)`,
		"CREATE TABLE [my table] (a)":                                            `CREATE TABLE "my table__2" (a)`,
		"CREATE TABLE `my table` (a)":                                            `CREATE TABLE "my table__2" (a)`,
		"CREATE TABLE main.profiles (profiles TEXT)":                             `CREATE TABLE main."profiles__2" (profiles TEXT)`,
		"CREATE TABLE profiles (a TEXT DEFAULT 'profiles', profiles INT)":        `CREATE TABLE "profiles__2" (a TEXT DEFAULT 'profiles', profiles INT)`,
		"CREATE TABLE profiles (a -- profiles.x\n, b /* profiles.y */)":          "CREATE TABLE \"profiles__2\" (a -- profiles.x\n, b /* profiles.y */)",
		"CREATE TABLE profiles (a CHECK (profiles.a > 0 AND x.profiles > 1))":    `CREATE TABLE "profiles__2" (a CHECK ("profiles__2".a > 0 AND x.profiles > 1))`,
		"CREATE TABLE profiles (a REFERENCES profiles(id) REFERENCES other(id))": `CREATE TABLE "profiles__2" (a REFERENCES "profiles__2"(id) REFERENCES other(id))`,
		"FOREIGN KEY (a) REFERENCES public.profiles(id)":                         `FOREIGN KEY (a) REFERENCES public."profiles__2"(id)`,
		"CREATE UNIQUE INDEX by_email ON profiles (email) WHERE profiles.a > 1":  `CREATE UNIQUE INDEX "by_email__2" ON "profiles__2" (email) WHERE "profiles__2".a > 1`,
		"CREATE INDEX IF NOT EXISTS profiles ON profiles(profiles)":              `CREATE INDEX IF NOT EXISTS "profiles__2" ON "profiles__2"(profiles)`,
		"CREATE INDEX i ON public.profiles USING btree (a)":                      `CREATE INDEX "i__2" ON public."profiles__2" USING btree (a)`,
		"CREATE TABLE other (a)":                                                 "CREATE TABLE other (a)",
		"CREATE TABLE profiles (a DEFAULT 'it''s', \"a\"\"b\" INT)":              `CREATE TABLE "profiles__2" (a DEFAULT 'it''s', "a""b" INT)`,
	} {
		if got := renameTables(in, names, func(s string) string { return s + "__2" }); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", in, got, want)
		}
	}
}

func FuzzRenameTables(f *testing.F) {
	for _, s := range []string{"a 'b''c' \"d\"", "--x\n[y", "/* z", "`", "'", "é.$1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		last := 0
		for _, tok := range tokensOf(s) {
			if tok.from < last || tok.to <= tok.from || tok.to > len(s) {
				t.Fatalf("token %+v after %d in %q", tok, last, s)
			}
			last = tok.to
		}
		renameTables(s, map[string]string{"a": "b"}, func(s string) string { return s })
	})
}
