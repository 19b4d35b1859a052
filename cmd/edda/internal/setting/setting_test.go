package setting_test

import (
	"crypto/sha256"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/spf13/pflag"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
	"github.com/edda-io/edda/cmd/edda/internal/setting"
	"github.com/edda-io/edda/gateway/routegw"
	"github.com/edda-io/edda/gateway/wsgw"
	"github.com/edda-io/edda/node"
)

// load reads a file's text, an environment and flags for "edda dev". Without text
// there is no file.
func load(t *testing.T, text string, environ []string, args ...string) (*setting.Node, error) {
	t.Helper()
	return loadFor(t, setting.Dev, text, environ, args...)
}

func loadFor(t *testing.T, c setting.Command, text string, environ []string, args ...string) (*setting.Node, error) {
	t.Helper()
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	setting.AddFlags(flags, c)
	if text != "" {
		path := filepath.Join(t.TempDir(), "edda.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--config", path)
	}
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	return setting.Load(flags, environ, c)
}

// withoutFrom has nodes compared without where their settings were set.
var withoutFrom = cmpopts.IgnoreFields(setting.Node{}, "From")

func defaults() *setting.Node {
	return &setting.Node{
		Listen: "127.0.0.1:7400", Dir: "edda-data", Durability: edda.Fsync, Partitions: 64, LogLevel: slog.LevelInfo,
		DrainTimeout: 10 * time.Second, KeepSagas: 7 * 24 * time.Hour, SlowWarning: time.Second, Heartbeat: time.Second,
		Certificates: auth.CertificateOptions{Identity: auth.CommonName},
		JWT:          auth.JWTOptions{Leeway: auth.DefaultLeeway, Refresh: auth.DefaultRefresh, PrincipalClaim: "sub"},
		Limits: node.Limits{
			PayloadBytes: 4 << 20, KeyQueue: 10_000, NodeBytes: 256 << 20, PartitionRequests: 1024, PartitionBytes: 32 << 20,
			OutboxBytes: 64 << 20, RequestParts: 10_000, RequestPartBytes: 64 << 20, ReplyBytes: 1 << 30,
			NoServiceWait: 2 * time.Second, NoWorkerWait: 2 * time.Second,
		},
		AuthService: auth.ServiceOptions{Namespace: "default", Method: "authenticate", Timeout: 5 * time.Second, Keep: time.Minute, Calls: 64},
		Live: wsgw.Options{
			MaxFrame: 4 << 20, Rate: 10_000, MaxCalls: 256, MaxSubscriptions: 128, MaxBuffered: 1 << 20, MaxBehind: 4 << 20,
			AuthTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, Ping: 25 * time.Second,
		},
	}
}

// token is a static token with all rights.
func token(p edda.Principal, secret string, r auth.Rights) auth.Token {
	return auth.Token{Principal: p, SHA256: sha256.Sum256([]byte(secret)), Rights: r}
}

func TestSourcesInOrder(t *testing.T) {
	everything := defaults()
	everything.Listen, everything.Dir, everything.Durability = "0.0.0.0:80", "/data", edda.OS
	everything.Partitions, everything.Example, everything.LogLevel, everything.LogJSON = 16, true, slog.LevelWarn, true
	everything.DrainTimeout, everything.KeepSagas = time.Minute, time.Hour
	everything.SlowWarning, everything.Heartbeat, everything.Lifetime = -1, 2*time.Second, 5*time.Second
	everything.TLS = auth.ServerTLSOptions{CertFile: "node.crt", KeyFile: "node.key", ClientCAFile: "ca.crt", RequireClient: true}
	everything.Certificates = auth.CertificateOptions{Identity: auth.URIName, Prefix: "cert:"}
	everything.JWT = auth.JWTOptions{
		Keys: "https://id.example/keys", Issuer: "https://id.example", Audience: "edda", Leeway: time.Second, Refresh: time.Hour,
		PrincipalClaim: "email", Prefix: "id:", CallClaim: "c", HostClaim: "h", AppendClaim: "a", ReadClaim: "r",
		PublishClaim: "p", SubscribeClaim: "s", ManageClaim: "m",
	}
	everything.Limits = node.Limits{
		PayloadBytes: 1000, KeyQueue: 1, NodeBytes: 1 << 30, PartitionRequests: 2, PartitionBytes: 3 << 10, OutboxBytes: 4,
		RequestParts: 5, RequestPartBytes: 6, ReplyBytes: 7, NoServiceWait: time.Second, NoWorkerWait: time.Minute,
	}
	everything.AuthService = auth.ServiceOptions{
		Namespace: "ops", Service: "people", Method: "whose", Plain: true, Timeout: time.Second, Keep: 2 * time.Second, Calls: 3,
	}
	everything.KeyHeaders = []string{"X-Api-Key", "X-Key"}
	everything.Origins = []string{"https://a.example", "https://b.example"}
	everything.Pages = []setting.Page{{Path: "/", Dir: "/srv/www"}, {Path: "/chat", Dir: "chat"}}
	everything.Routes = []routegw.Route{{Route: "GET /users/{id}", Service: "users", Method: "read", Key: "path.id"}}
	everything.Live = wsgw.Options{
		MaxFrame: 1, Rate: 2, Burst: 3, MaxCalls: 4, MaxSubscriptions: 5, MaxBuffered: 6, MaxBehind: 7 << 10, AuthTimeout: 8 * time.Second,
		WriteTimeout: 9 * time.Second, Ping: 10 * time.Second, MaxConnections: 11, MaxPerPrincipal: 12,
	}
	everything.Grants = map[edda.Principal]auth.Rights{
		"ada@example.com": {
			Call: []auth.Pattern{"users", "shop:*"}, Host: []auth.Pattern{"users"}, Append: []auth.Pattern{"orders"}, Read: []auth.Pattern{"shop:*", "o*"},
			Publish: []auth.Pattern{"room"}, Subscribe: []auth.Pattern{"room", "feed*"}, Manage: true,
		},
		"eve": {},
		"*":   {Call: []auth.Pattern{"echo"}},
	}
	everything.Tokens = []auth.Token{
		token("ada@example.com", "t1", everything.Grants["ada@example.com"]), token("bob", "t2", everything.Grants["*"]),
		token("eve", "t3", auth.Rights{}),
	}
	file := `
listen: 0.0.0.0:80
dir: /data
durability: os
partitions: 16
example: true
logLevel: warn
logFormat: json
drainTimeout: 1m
keepSagas: 1h
slowWarning: 0
workers: {heartbeat: 2s, lifetime: 5s}
tls: {cert: node.crt, key: node.key, clientCA: ca.crt, clientCert: required, principal: uri, prefix: 'cert:'}
jwt:
  keys: https://id.example/keys
  issuer: https://id.example
  audience: edda
  leeway: 1s
  refresh: 1h
  principalClaim: email
  prefix: 'id:'
  callClaim: c
  hostClaim: h
  appendClaim: a
  readClaim: r
  publishClaim: p
  subscribeClaim: s
  manageClaim: m
limits:
  payloadBytes: 1000
  keyQueue: 1
  nodeBytes: 1GiB
  partitionRequests: 2
  partitionBytes: 3KiB
  outboxBytes: 4
  requestParts: 5
  requestPartBytes: 6
  replyBytes: 7
  noServiceWait: 1s
  noWorkerWait: 1m
auth: {service: people, namespace: ops, method: whose, plain: true, timeout: 1s, keep: 2s, calls: 3, keyHeaders: [X-Api-Key, X-Key]}
origins: [https://a.example, https://b.example]
pages: {/chat: chat, /: /srv/www}
routes:
  - {route: 'GET /users/{id}', service: users, method: read, key: path.id}
live:
  frameBytes: 1
  rate: 2
  burst: 3
  calls: 4
  subscriptions: 5
  bufferedBytes: 6
  behindBytes: 7KiB
  authTimeout: 8s
  writeTimeout: 9s
  ping: 10s
  connections: 11
  perPrincipal: 12
credentials:
  ada@example.com: t1
  bob: sha256:` + fmt.Sprintf("%x", sha256.Sum256([]byte("t2"))) + `
  eve: t3
grants:
  ada@example.com: {call: [users, 'shop:*'], host: users, append: orders, read: ['shop:*', 'o*'], publish: room, subscribe: [room, 'feed*'], manage: true}
  eve:
  '*': {call: echo}
`
	flagged := defaults()
	flagged.Partitions, flagged.Dir, flagged.Durability = 8, "env", edda.Memory
	flagged.TLS = auth.ServerTLSOptions{CertFile: "file", KeyFile: "flag"}
	flagged.Limits.KeyQueue = 7
	flagged.Origins, flagged.KeyHeaders = []string{"https://c.example"}, []string{"X-Api-Key", "X-Key"}
	flagged.Pages = []setting.Page{{Path: "/", Dir: "flag"}, {Path: "/a", Dir: "file"}, {Path: "/b", Dir: "env"}}
	flagged.Tokens = []auth.Token{token("ada", "t1", auth.Everything()), token("bob", "t2", auth.Everything()), token("eve", "t3", auth.Everything())}
	for _, c := range []struct {
		name    string
		file    string
		environ []string
		args    []string
		want    *setting.Node
	}{
		{"nothing", "", []string{"PATH=/bin", "EDDA_URL=http://x", "EDDA_CA=x", "EDDA_PORT=tcp://10.0.0.1:7400", "EDDA_DB_SERVICE_HOST=10.0.0.1"}, nil, defaults()},
		{"a file", file, nil, nil, everything},
		{"all of them", "dir: file\ndurability: os\ncredentials: {ada: t1}\ntls: {cert: file, key: file}\norigins: https://a.example\npages: {/: file, /a: file}",
			[]string{"EDDA_ORIGINS=https://b.example,https://c.example", "EDDA_AUTH_KEY_HEADERS=X-Api-Key, X-Key", "EDDA_PAGES=/=env,/b=env", "EDDA_DIR=env", "EDDA_PARTITIONS=32", "EDDA_DURABILITY=memory", "EDDA_CREDENTIALS=bob=t2", "EDDA_TLS_KEY=env", "EDDA_LIMITS_KEY_QUEUE=7"},
			[]string{"--partitions", "8", "--credential", "eve=t3", "--tls-key", "flag", "--origins", "https://c.example", "--page", "/=flag"}, flagged},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := load(t, c.file, c.environ, c.args...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got, withoutFrom); diff != "" {
				t.Errorf("settings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestConfigFileFromTheEnvironment(t *testing.T) {
	path := filepath.Join(t.TempDir(), "edda.yaml")
	if err := os.WriteFile(path, []byte("partitions: 2"), 0o600); err != nil {
		t.Fatal(err)
	}
	n, err := load(t, "", []string{"EDDA_CONFIG=" + path})
	if err != nil || n.Partitions != 2 {
		t.Errorf("got %+v, %v, want 2 partitions", n, err)
	}
}

// What comes after the one document may be nothing.
func TestNothingAfterTheDocument(t *testing.T) {
	for _, file := range []string{
		"partitions: 2\n---\n", "partitions: 2\n---\n# end\n", "---\npartitions: 2\n...\n", " partitions: 2\n # end\n", "# head\n\npartitions: 2", "\ufeffpartitions: 2\r\n",
	} {
		if n, err := load(t, file, nil); err != nil || n.Partitions != 2 {
			t.Errorf("%q: got %+v, %v, want 2 partitions", file, n, err)
		}
	}
	for _, file := range []string{"# nothing", "---", "\n"} {
		if _, err := load(t, file, nil); err != nil {
			t.Errorf("%q: got %v, want the defaults", file, err)
		}
	}
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name    string
		file    string
		environ []string
		args    []string
		want    []string // parts of the error
	}{
		{"unknown in the file", "listn: x", nil, nil, []string{`"listn" in `, "edda.yaml:1 is no setting of edda dev: did you mean listen?"}},
		{"nothing like it in the file", "frobnicate: x", nil, nil, []string{`"frobnicate" in `, "is no setting of edda dev: there are listen, dir,", "credentials, pages, routes and grants"}},
		{"a first line with a space", " logLevel: warn\ncredentials: {ada: s3cret}\n", nil, nil, []string{"edda.yaml: line 2 does not belong", "begin in column 2 (line 1)", "indented alike"}},
		{"a word after it", "# x\n logLevel: info\nb", nil, nil, []string{"edda.yaml: line 3 does not belong", "(line 2)"}},
		{"two documents", "logLevel: warn\n---\ncredentials: {ada: s3cret}\n", nil, nil, []string{"edda.yaml: line 3 begins a second document", "a file is one"}},
		{"an empty document before", "---\n---\ncredentials: {ada: s3cret}\n", nil, nil, []string{"line 3 begins a second document"}},
		{"text after the end", "logLevel: warn\n...\ncredentials: {ada: s3cret}\n", nil, nil, []string{"line 3 does not belong to what is above it"}},
		{"two maps on a line", "{logLevel: warn} {partitions: 1}", nil, nil, []string{"line 1 does not belong"}},
		{"no settings", "- a\n- b", nil, nil, []string{"line 1 must begin with the name of a setting and a colon"}},
		{"dots", "auth.service: people", nil, nil, []string{`"auth.service" in `, "write auth: {service: …}"}},
		{"unknown in the environment", "", []string{"EDDA_LISTN=x"}, nil, []string{"EDDA_LISTN in the environment is no setting of edda dev: did you mean EDDA_LISTEN?"}},
		{"nothing like it in the environment", "", []string{"EDDA_FROBNICATE=x"}, nil, []string{"EDDA_FROBNICATE in the environment is no setting", "there are EDDA_LISTEN, EDDA_DIR,", "EDDA_CREDENTIALS"}},
		{"nested", "log:\n  level: info", nil, nil, []string{`"log.level" in `, "is no setting"}},
		{"unknown below a group", "tls:\n  crt: x", nil, nil, []string{`"tls.crt" in `, "is no setting of edda dev: did you mean tls.cert?"}},
		{"nothing like it below a group", "tls:\n  frobnicate: x", nil, nil, []string{`"tls.frobnicate" in `, "there are tls.cert, tls.key, tls.clientCA, tls.clientCert, tls.principal and tls.prefix"}},
		{"group without anything", "tls:", nil, nil, []string{"tls in ", "must have settings below it: there are tls.cert, tls.key,"}},
		{"text for a group", "tls: foo", nil, nil, []string{"tls in ", "must have settings below it: there are tls.cert, tls.key,"}},
		{"list", "dir: [a, b]", nil, nil, []string{"dir in ", "must be one value"}},
		{"TLS without a key", "tls: {cert: x}", nil, nil, []string{"tls.cert and tls.key go together"}},
		{"client CA without TLS", "tls: {clientCA: x}\ngrants: {ada: }", nil, nil, []string{"tls.clientCA is set", "set tls.cert"}},
		{"certificates of nobody", "tls: {cert: x, key: x, clientCert: required}", nil, nil, []string{"set tls.clientCA"}},
		{"client certificates", "tls: {clientCert: maybe}", nil, nil, []string{`"maybe", must be optional or required`}},
		{"certificate's principal", "tls: {principal: serial}", nil, nil, []string{"tls.principal in ", "commonName, dns, uri or email"}},
		{"everybody with a certificate", "tls: {cert: x, key: x, clientCA: x}", nil, nil, []string{"tls.clientCA lets in all", "under grants"}},
		{"JWT without keys", "jwt: {issuer: x}", nil, nil, []string{"jwt.keys is not set"}},
		{"JWT without an issuer", "jwt: {keys: x, audience: x}", nil, nil, []string{"jwt.issuer or jwt.audience is not"}},
		{"everybody with a JWT", "jwt: {keys: x, issuer: x, audience: x}", nil, nil, []string{"jwt.keys lets in all", "under grants", "jwt.callClaim"}},
		{"principal's claim", "jwt: {principalClaim: ''}", nil, nil, []string{"must name a claim"}},
		{"leeway", "jwt: {leeway: 0s}", nil, nil, []string{"jwt.leeway in ", "above zero"}},
		{"grants for nobody", "grants: {ada: {manage: true}}", nil, nil, []string{"grants are set, but there are no credentials"}},
		{"grants without anything", "grants:", nil, nil, []string{"grants in ", "must map principals"}},
		{"grants are no map", "grants: [ada]", nil, nil, []string{"must map principals"}},
		{"grant is no map", "grants: {ada: all}", nil, nil, []string{`"ada": must have call, host, append, read, publish, subscribe or manage`}},
		{"unknown right", "grants: {ada: {cal: x}}", nil, nil, []string{`"ada": "cal" is no right`}},
		{"pattern", "grants: {ada: {call: [a*b]}}", nil, nil, []string{`"ada": call has a mistake: pattern "a*b"`}},
		{"no pattern", "grants: {ada: {host: [1]}}", nil, nil, []string{"host must be a list of names"}},
		{"manage", "grants: {ada: {manage: 'yes'}}", nil, nil, []string{"manage must be true or false"}},
		{"grants in the environment", "", []string{"EDDA_GRANTS=x"}, nil, []string{"EDDA_GRANTS in the environment is no setting"}},
		{"a number with a wrong unit", "limits: {nodeBytes: 1MB}", nil, nil, []string{"limits.nodeBytes in ", `"1MB"`, "65536 or 64KiB"}},
		{"a number that is too large", "limits: {nodeBytes: 9999999999999GiB}", nil, nil, []string{"limits.nodeBytes"}},
		{"a wait", "limits: {noWorkerWait: 0s}", nil, nil, []string{"limits.noWorkerWait", "above zero"}},
		{"hash", "credentials: {ada: 'sha256:12'}", nil, nil, []string{"the token of ada", "64 hexadecimal digits"}},
		{"nested below a setting", "listen:\n  host: x", nil, nil, []string{"listen in ", "one value", `"host"`}},
		{"not YAML", "a: [", nil, nil, []string{"read the config file "}},
		{"no file", "", []string{"EDDA_CONFIG=/does/not/exist"}, nil, []string{"read the config file /does/not/exist: no such file"}},
		{"listen without port", "", nil, []string{"--listen", "localhost"}, []string{`listen of --listen is "localhost", must be HOST:PORT`}},
		{"listen with a wrong port", "", []string{"EDDA_LISTEN=localhost:99999"}, nil, []string{"listen in the environment as EDDA_LISTEN", "0 to 65535"}},
		{"empty", "listen:", nil, nil, []string{`listen in `, `is "", must be HOST:PORT`}},
		{"durability", "durability: quorum", nil, nil, []string{`"quorum", must be fsync, os or memory`}},
		{"partitions", "partitions: 3", nil, nil, []string{"power of two"}},
		{"log level", "", nil, []string{"--log-level", "loud"}, []string{"logLevel of --log-level", "error, warn, info or debug"}},
		{"drain", "drainTimeout: 10", nil, nil, []string{"drainTimeout", "a duration such as 10s"}},
		{"drain below zero", "drainTimeout: -3s", nil, nil, []string{`drainTimeout in `, `is "-3s", must be a duration such as 10s, and not below zero`}},
		{"warning below zero", "slowWarning: -1s", nil, nil, []string{`slowWarning in `, `is "-1s", must be a duration such as 1s, or 0 for never`}},
		{"heartbeat", "workers: {heartbeat: 0s}", nil, nil, []string{"workers.heartbeat in ", "above zero"}},
		{"lifetime of less than a beat", "workers: {heartbeat: 5s, lifetime: 4s}", nil, nil, []string{"workers.lifetime is 4s, must be at least workers.heartbeat, 5s"}},
		{"payload", "limits: {payloadBytes: 8MiB}", nil, nil, []string{"limits.payloadBytes", "from 1 to 7340032"}},
		{"everywhere", "", nil, []string{"--listen", ":7400"}, []string{`":7400" can be reached from other machines`, "--credential NAME=TOKEN"}},
		{"another machine", "", nil, []string{"--listen", "192.168.0.1:7400"}, []string{"can be reached from other machines"}},
		{"credential without token", "", nil, []string{"--credential", "ada"}, []string{"--credential: a credential must be NAME=TOKEN"}},
		{"credential in the environment", "", []string{"EDDA_CREDENTIALS=ada"}, nil, []string{"EDDA_CREDENTIALS in the environment: ", "NAME=TOKEN"}},
		{"empty token", "credentials: {ada: ''}", nil, nil, []string{"the token of ada"}},
		{"a number", "credentials: {ada: 0123}", nil, nil, []string{"the token of ada must be text"}},
		{"the same token", "credentials: {ada: x, bob: x}", nil, nil, []string{`"ada" and "bob" have the same token`}},
		{"pages are no map", "pages: [a]", nil, nil, []string{"pages in ", "must map URL paths to directories"}},
		{"pages are a number", "pages: {/: 1}", nil, nil, []string{"pages: the directory of / must be text"}},
		{"page without a directory", "", nil, []string{"--page", "/"}, []string{"--page: a page must be PATH=DIR"}},
		{"page twice", "", []string{"EDDA_PAGES=/=a,/=b"}, nil, []string{`EDDA_PAGES in the environment: the path "/" is given twice`}},
		{"origins are a map", "origins: {a: b}", nil, nil, []string{"origins in ", "must be one value"}},
		{"an origin is a number", "origins: [1]", nil, nil, []string{"origins in ", "has 1, must be a list of texts"}},
		{"an empty origin", "", nil, []string{"--origins", "a,,b"}, []string{"origins of --origins", "with commas between them"}},
		{"plain for nobody", "auth: {plain: true}", nil, nil, []string{"auth.plain is set", "set auth.service"}},
		{"a service that nobody can host", "auth: {service: people}", nil, nil, []string{"auth.service is set, but nobody could host the service"}},
		{"a service with a bad name", "auth: {service: a/b}\ncredentials: {a: b}", nil, nil, []string{`auth.service: service "a/b" must be`}},
		{"a burst", "live: {burst: 0}", nil, nil, []string{`live.burst in `, `is "0", must be a number above zero, such as 100`}},
		{"a rate", "live: {rate: 0}", nil, nil, []string{`live.rate in `, `is "0", must be a number above zero, such as 100`}},
		{"frames", "live: {frameBytes: 0}", nil, nil, []string{`is "0", must be a number of bytes above zero, such as 65536 or 64KiB`}},
		{"no map", "credentials: x", nil, nil, []string{"credentials in ", "must map names to tokens"}},
		{"deep map", "credentials: {ada: {token: x}}", nil, nil, []string{"must map names to tokens"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := load(t, c.file, c.environ, c.args...)
			if err == nil {
				t.Fatal("it was taken, want an error")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got error %q, want %q in it", err, want)
				}
			}
		})
	}
}

func TestExposedWithCredentials(t *testing.T) {
	for _, listen := range []string{":7400", "0.0.0.0:7400", "[::]:7400", "example.com:7400"} {
		if _, err := load(t, "", nil, "--listen", listen); err == nil {
			t.Errorf("%s was taken without credentials, want an error", listen)
		}
		if _, err := load(t, "", nil, "--listen", listen, "--credential", "ada=t1"); err != nil {
			t.Errorf("%s with credentials: %v", listen, err)
		}
	}
	for _, listen := range []string{"localhost:0", "127.0.0.2:1", "[::1]:7400"} {
		if _, err := load(t, "", nil, "--listen", listen); err != nil {
			t.Errorf("%s: %v", listen, err)
		}
	}
}

func TestExposedByOtherCredentials(t *testing.T) {
	for _, file := range []string{
		"jwt: {keys: x, issuer: x, audience: x, callClaim: scope}",
		"jwt: {keys: x, issuer: x, audience: x}\ngrants: {'*': {call: '*'}}",
		"tls: {cert: x, key: x, clientCA: x}\ngrants: {ada: {manage: true}}",
	} {
		if n, err := load(t, file, nil, "--listen", ":7400"); err != nil || n.Anonymous() {
			t.Errorf("%s: got %+v, %v, want it taken", file, n, err)
		}
	}
	if _, err := load(t, "tls: {cert: x, key: x}", nil, "--listen", ":7400"); err == nil {
		t.Error("TLS alone was taken for credentials")
	}
}

func TestServe(t *testing.T) {
	want := defaults()
	want.Dir = "/data"
	got, err := loadFor(t, setting.Serve, "", nil, "--dir", "/data")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, withoutFrom); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
	if _, err := loadFor(t, setting.Serve, "", nil); err == nil || !strings.Contains(err.Error(), "dir is not set") {
		t.Errorf("without a directory: got %v, want a refusal", err)
	}
	if _, err := loadFor(t, setting.Serve, "durability: memory", nil); err != nil {
		t.Errorf("in memory: %v", err)
	}
	_, err = loadFor(t, setting.Serve, "dir: /data\nexample: true", nil)
	if err == nil || !strings.Contains(err.Error(), `"example" in `) || !strings.Contains(err.Error(), "is no setting of edda serve") {
		t.Errorf("with the example services: got %v, want a refusal", err)
	}
}
