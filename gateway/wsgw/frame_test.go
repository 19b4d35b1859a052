package wsgw

import (
	"strings"
	"testing"

	"github.com/edda-io/edda"
)

// A frame that is refused is answered with its ref, and the connection stays.
func TestRefusedFrames(t *testing.T) {
	w := start(t, Options{})
	c := w.dial(t)
	c.send(`{"op":"subscribe","ref":"s","channel":"room","credit":0}`)
	c.want(`{"op":"subscribed","ref":"s"}`)
	for _, tc := range []struct {
		frame  string
		reason edda.Reason
		ref    string
		detail string
	}{
		{`[1]`, edda.BadJSON, "", "the frame must be an object"},
		{`"x"`, edda.BadJSON, "", "the frame must be an object"},
		{``, edda.BadJSON, "", "in UTF-8"},
		{`{"op":"ping"`, edda.BadJSON, "", "in UTF-8"},
		{`{"op":"ping"} {}`, edda.BadJSON, "", "in UTF-8"},
		{`{}`, edda.BadValue, "", "no op"},
		{`{"ref":7}`, edda.BadValue, "7", "no op"},
		{`{"op":7,"ref":7}`, edda.BadValue, "7", "op must be"},
		{`{"op":"shout","ref":7}`, edda.BadValue, "7", `unknown op "shout"`},
		{`{"op":"` + strings.Repeat("x", 10_000) + `"}`, edda.BadValue, "", "unknown op"},
		{`{"op":"ping","volume":11,"ref":7}`, edda.UnknownField, "7", `"volume"`},
		{`{"op":"ping","op":"ping","ref":7}`, edda.BadValue, "7", "op must be given once"},
		{`{"op":"ping","ref":null}`, edda.BadValue, "", "ref must be"},
		{`{"op":"ping","ref":{}}`, edda.BadValue, "", "ref must be"},
		{`{"op":"ping","ref":"` + strings.Repeat("r", 127) + `"}`, edda.BadValue, "", "ref must be"},
		{`{"op":"auth"}`, edda.BadValue, "", `needs the member "token"`},
		{`{"op":"call","service":"echo","method":"x"}`, edda.BadValue, "", `needs the member "ref"`},
		{`{"op":"call","ref":7,"method":"x"}`, edda.BadValue, "7", `needs the member "service"`},
		{`{"op":"call","ref":7,"service":"echo"}`, edda.BadValue, "7", `needs the member "method"`},
		{`{"op":"call","ref":7,"service":"echo","method":"x","principal":"root"}`, edda.UnknownField, "7", `"principal"`},
		{`{"op":"call","ref":7,"service":"echo","method":"x","credit":1}`, edda.UnknownField, "7", `"credit"`},
		{`{"op":"call","ref":7,"service":"","method":"x"}`, edda.BadValue, "7", "service must not be empty"},
		{`{"op":"call","ref":7,"key":"","service":"echo","method":"x"}`, edda.BadValue, "7", "key must be left out or not empty"},
		{`{"key":"","op":"call","ref":7,"service":"echo","method":""}`, edda.BadValue, "7", "method must not be empty"},
		{`{"op":"","ref":7}`, edda.BadValue, "7", "op must not be empty"},
		{`{"op":"auth","token":"","ref":7}`, edda.BadValue, "7", "token must not be empty"},
		{`{"op":"append","ref":7,"stream":"s","type":""}`, edda.BadValue, "7", "type must not be empty"},
		{`{"op":"call","ref":7,"service":"echo","method":"x","data":1,"dataBase64":"AA=="}`, edda.BadValue, "7", "both given"},
		{`{"op":"call","ref":7,"service":"echo","method":"x","dataBase64":"?"}`, edda.BadValue, "7", "base64"},
		{`{"op":"call","ref":7,"service":"echo","method":"x","data":1,"contentType":"text/plain"}`, edda.BadValue, "7", "data"},
		{`{"op":"call","ref":7,"service":"echo","method":"x","delay":5}`, edda.BadValue, "7", "delay must be"},
		{`{"op":"call","ref":7,"service":"echo","method":"x","deadline":"soon"}`, edda.BadValue, "7", "deadline must be"},
		{`{"op":"call","ref":7,"service":"echo","method":"x","deadline":"2500-01-01T00:00:00Z"}`, edda.BadValue, "7", "2262"},
		{`{"op":"call","ref":7,"service":"echo","method":"x","idempotencyKey":"é"}`, edda.BadValue, "7", "ASCII"},
		{`{"op":"call","ref":7,"service":"echo","method":"x","headers":{"a":1}}`, edda.BadValue, "7", "headers.a"},
		{`{"op":"call","ref":7,"service":"echo","method":"x","traceparent":"x"}`, edda.BadValue, "7", "traceparent"},
		{`{"op":"call","ref":7,"service":"users","method":"x"}`, edda.WrongKind, "7", ""},
		{`{"op":"cancel","ref":7}`, edda.NoRequest, "7", ""},
		{`{"op":"append","ref":7,"stream":"s"}`, edda.BadValue, "7", `needs the member "type"`},
		{`{"op":"append","ref":7,"type":"t"}`, edda.BadValue, "7", `needs the member "stream"`},
		{`{"op":"append","ref":7,"stream":"s","type":"t","principal":"root"}`, edda.UnknownField, "7", `"principal"`},
		{`{"op":"append","ref":7,"stream":"a b","type":"t"}`, edda.BadName, "7", ""},
		{`{"op":"append","ref":7,"stream":"s","type":"t","replyTo":"a b"}`, edda.BadName, "7", "replyTo"},
		{`{"op":"append","ref":7,"stream":"edda.channel.room","type":"t"}`, edda.BadName, "7", ""},
		{`{"op":"publish","ref":7,"channel":"c"}`, edda.BadValue, "7", `needs the member "type"`},
		{`{"op":"publish","ref":7,"channel":"c","type":"t","shard":"x"}`, edda.UnknownField, "7", `"shard"`},
		{`{"op":"publish","ref":7,"channel":"nowhere","type":"t"}`, edda.NoChannel, "7", ""},
		{`{"op":"subscribe","ref":7}`, edda.BadValue, "7", `"stream" and "channel"`},
		{`{"op":"subscribe","ref":7,"stream":"s","channel":"c"}`, edda.BadValue, "7", `"stream" and "channel"`},
		{`{"op":"subscribe","ref":7,"stream":"s","presence":true}`, edda.BadValue, "7", "presence"},
		{`{"op":"subscribe","ref":7,"stream":"s","lifespan":"long"}`, edda.BadValue, "7", "lifespan"},
		{`{"op":"subscribe","ref":7,"stream":"s","patterns":"a"}`, edda.BadValue, "7", "patterns must be"},
		{`{"op":"subscribe","ref":7,"stream":"s","patterns":[1]}`, edda.BadValue, "7", "patterns[0]"},
		{`{"op":"subscribe","ref":7,"stream":"s","credit":-1}`, edda.BadValue, "7", "credit"},
		{`{"op":"subscribe","ref":7,"stream":"s","credit":1.5}`, edda.BadValue, "7", "credit"},
		{`{"op":"subscribe","ref":"s","channel":"other"}`, edda.BadValue, `"s"`, "something else"},
		{`{"op":"subscribe","ref":"s","channel":"room","from":"start"}`, edda.BadValue, `"s"`, "begins"},
		{`{"op":"call","ref":"s","service":"echo","method":"x"}`, edda.BadValue, "", `ref "s" is in use`},
		{`{"op":"cancel","ref":"s"}`, edda.NoRequest, `"s"`, ""},
		{`{"op":"credit","ref":7,"n":1}`, edda.BadValue, "7", "no subscription"},
		{`{"op":"credit","ref":"s"}`, edda.BadValue, `"s"`, `"n"`},
		{`{"op":"credit","ref":"s","n":0}`, edda.BadValue, `"s"`, "n must be"},
		{`{"op":"credit","ref":"s","n":1e9999}`, edda.BadValue, `"s"`, "n must be"},
		{`{"op":"unsubscribe","ref":7}`, edda.BadValue, "7", "no subscription"},
		{`{"op":"unsubscribe","ref":"s","patterns":[]}`, edda.BadValue, `"s"`, "empty"},
	} {
		c.send(tc.frame)
		f := c.want(`{"op":"error","code":"*","reason":"` + string(tc.reason) + `","detail":"*"}`)
		ref, there := f["ref"]
		if there != (tc.ref != "") || there && differs(f, `{"ref":`+tc.ref+`}`) != "" {
			t.Errorf("%.80s: got ref %v, want %s", tc.frame, ref, tc.ref)
		}
		if detail, _ := f["detail"].(string); !strings.Contains(detail, tc.detail) || len(detail) > 300 {
			t.Errorf("%.80s: got %q, want %q in it", tc.frame, detail, tc.detail)
		}
		if got, want := f["code"], string(tc.reason.Code()); got != want {
			t.Errorf("%.80s: got code %v, want %s", tc.frame, got, want)
		}
	}
	c.alive()
}

// A ref is given back as it was sent, and a string is the same however it is escaped.
func TestRefs(t *testing.T) {
	c := start(t, Options{}).dial(t)
	for _, ref := range []string{`1`, `-1.50e+3`, `0`, `12345678901234567890`, `""`, `"é\n\"\u0000"`} {
		c.send(`{"op":"ping","ref":` + ref + `}`)
		c.want(`{"op":"pong","ref":` + ref + `}`)
	}
	c.send(`{"op":"subscribe","ref":"a","channel":"c"}`, `{"op":"call","ref":"\u0061","service":"echo","method":"x"}`, `{"op":"call","ref":1,"service":"echo","method":"x"}`)
	c.want(`{"op":"subscribed","ref":"a"}`)
	c.want(`{"op":"error","detail":"ref \"a\" is in use"}`)
	c.want(`{"op":"ack","ref":1}`)
	c.want(`{"op":"reply","ref":1}`)
	c.send(`{"op":"call","ref":1,"service":"echo","method":"x"}`) // and is free again
	c.want(`{"op":"ack","ref":1}`)
	c.want(`{"op":"reply","ref":1}`)
}
